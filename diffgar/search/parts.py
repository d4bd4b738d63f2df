"""What a search compares: whole tracks, or P equal parts of them side by side, for which the order counts."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffgar.evaluation.pooling import Pooling
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.encoders.base import pool
from diffgar.models.encoders.segments import mixed, segment_means, side_by_side
from diffgar.search.errors import SearchError
from diffgar.search.negatives import Negative
from diffgar.search.where import Part, part_number
from diffgar.values import is_number, whole


@dataclass(frozen=True)
class Parts:
    """How queries and tracks are compared: by P = `segments` parts side by side, one being the whole.

    Their vectors have length P · D. With a `pooled_weight` from 0 to below 1 the whole's cosine counts with this weight
    and the parts' with the rest; the vectors then have length D + P · D, the whole first. See
    `diffgar.models.encoders.segments`. Raises InputError for values that are none.
    """

    segments: int = 1
    pooled_weight: float = 0.0

    def __post_init__(self) -> None:
        whole("segments", self.segments, least=1)
        if not is_number(self.pooled_weight) or not 0 <= self.pooled_weight < 1:
            raise SearchError(f"pooled_weight is {self.pooled_weight!r}; give it a number from 0 to below 1")
        if self.segments == 1 and self.pooled_weight:
            raise SearchError("pooled_weight mixes whole tracks with their parts; search in parts too: segments=2")

    @property
    def pooling(self) -> Pooling:
        """The same as an evaluation has it."""
        if self.segments == 1:
            return Pooling()
        return Pooling(pooling="segments", segments=self.segments, pooled_weight=self.pooled_weight)

    def means(self, frames: Tensor) -> Tensor:
        """The mean latents (P, D) of the parts of a track (T, D)."""
        return frames.mean(dim=0, keepdim=True) if self.segments == 1 else segment_means(frames, self.segments)

    def units(self, means: Tensor, centre: Tensor) -> Tensor:
        """Unit vectors (N, L) from the mean latents (N, P, D) of tracks' parts, seen from `centre` (D,)."""
        pooled = pool(means, centre=centre)  # (N, D): parts are equally long, so their mean is the whole's
        return pooled if self.segments == 1 else mixed(pooled, side_by_side(means, centre), self.pooled_weight)

    def repeated(self, vectors: Tensor) -> Tensor:
        """Unit vectors (N, L) of what is the same in every part, from vectors (N, D), such as captions' embeddings."""
        return vectors if self.segments == 1 else self.pooling.queries(vectors[:, None, None])

    def each(self, vectors: Tensor) -> Tensor:
        """The vector of each part, (..., P, D), from vectors (..., L)."""
        parts = vectors.unflatten(-1, (self._blocks, -1))
        return parts[..., 1:, :] if self.pooled_weight else parts

    def only(self, vectors: Tensor, part: Part | None) -> Tensor:
        """Vectors (..., L) with zeros beside a part, so that nothing else is compared; as they are for no part."""
        return vectors if part is None else self.replaced(torch.zeros_like(vectors), vectors, part)

    def replaced(self, vectors: Tensor, others: Tensor, part: Part) -> Tensor:
        """Vectors (..., L) whose part is that of the others."""
        block = torch.arange(vectors.shape[-1]) // (vectors.shape[-1] // self._blocks)  # (L,)
        return torch.where(block == self.number(part) + bool(self.pooled_weight), others, vectors)

    def number(self, part: Part) -> int:
        """The number of a part, from 0. Raises SearchError for one that is not there."""
        return part_number(part, self.segments)

    def placed(self, negative: Negative) -> Negative:
        """A negative whose part, if it has one, is a number from 1. Raises SearchError for a part that is not there."""
        return negative if negative.part is None else replace(negative, part=self.number(negative.part) + 1)

    def pooled(self, vector: Tensor) -> Tensor:
        """One vector (D,) for a vector (L,) of parts: their mean."""
        return self.each(vector).mean(dim=0)

    @property
    def _blocks(self) -> int:
        """Of how many vectors (D,) a vector is made."""
        return self.segments + bool(self.pooled_weight)


WHOLE = Parts()


def parts_of(model: object) -> Parts:
    """The parts by which a model compares unless a question says otherwise: those that contrastive heads project."""
    return Parts(model.segments) if isinstance(model, ContrastiveHeads) else WHOLE
