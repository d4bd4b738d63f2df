"""What the steering methods get from a search: its queries, generated for captions or given, and its negatives."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.answers import Avoided
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.queries import Steer, generated_queries
from diffgar.jobs.opened import Opened
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.diffusion.sampling import Sampler
from diffgar.search.encoding import encode_captions
from diffgar.search.errors import SearchError
from diffgar.search.negatives import Negative
from diffgar.search.parts import WHOLE, Parts
from diffgar.search.where import Part
from diffgar.text_states import TextStates


class TypedCaptions:
    """Captions (Q) in the place of a text store. Each has a number, which seeds its noise.

    numbers: by default a hash of each caption, so that the same caption has the same query in any batch. Raises
    SearchError where two different captions have the same number, or the numbers are not as many as the captions.
    """

    purpose: ClassVar[str] = "caption"

    def __init__(self, opened: Opened, captions: Sequence[str], numbers: Sequence[int] | None = None):
        self.captions, self.states = list(captions), encode_captions(opened, captions)
        self.numbers = np.array([number_of(each) for each in captions] if numbers is None else numbers)
        self.positions = {number: position for position, number in enumerate(self.numbers.tolist())}
        pairs = set(zip(self.numbers.tolist(), self.captions, strict=False))  # a caption that is repeated counts once
        if len(self.numbers) != len(self.captions) or len(self.positions) != len(pairs):
            raise SearchError(f"{len(self.captions)} captions have the numbers {numbers}; give each one of its own")

    def padded(self, rows: np.ndarray) -> TextStates:
        """The text states of the captions with these numbers, as a text store gives those of its rows."""
        return self.states.select(np.array([self.positions[number] for number in rows.tolist()]))

    def embeddings(self) -> Tensor:
        """The captions' own embeddings (Q, D), in a joint pair."""
        if self.states.embedding is None:
            raise SearchError("captions have no embeddings in the space of the tracks: the encoder pair is not joint")
        return self.states.embedding


@dataclass(frozen=True)
class Asker:
    """A model that makes queries of captions, with the sampler and the seed that it uses, and the parts they have."""

    opened: Opened
    sampler: Sampler
    seed: int = 0
    parts: Parts = WHOLE

    def queries(self, source: TypedCaptions, steer: Steer | None = None, **guidance: Any) -> Tensor:
        """Queries (1, Q, D) of captions by the model, whatever its kind; guidance: fields of the sampler."""
        model = self.opened.model
        if isinstance(model, ContrastiveHeads):
            with torch.inference_mode():
                return model.embed_text(source.states.to(dtype=torch.float32)).cpu().unsqueeze(0)
        poolings = [partial(self.parts.pooling.queries, centre=model.centre)]
        sampler = replace(self.sampler, **guidance)
        return generated_queries(model, sampler, source, source.numbers, [self.seed], poolings, steer)[0]


class SearchBench(Bench):
    """P queries that avoid the same M negatives; index (N, D): the tracks that are ranked, as unit vectors.

    A negative with a part acts there alone: elsewhere its vector is zero, so that neither tracks nor queries are
    compared with it or changed by it, and guidance counts in the frames of that part.
    """

    def __init__(self, asker: Asker, negatives: Sequence[Negative], index: Tensor | None = None):
        super().__init__()
        self.asker, self.negatives = asker, [asker.parts.placed(negative) for negative in negatives]
        self.index = torch.empty(0) if index is None else index

    def unit_index(self) -> Tensor:
        return self.index

    @property
    @abstractmethod
    def size(self) -> int:
        """How many queries, P."""

    def training_tracks(self) -> Tensor:
        """The library's own tracks: nothing is measured here, so there is no split to keep apart."""
        if len(self.index) == 0:
            raise SearchError("a sparse autoencoder is trained on a library's tracks, and here are none; search one")
        return self.index

    def phrasings(self) -> TypedCaptions:
        """The captions of all negatives, encoded once."""
        captions = [caption for negative in self.negatives for caption in negative.captions]
        return self.once("phrasings", lambda: TypedCaptions(self.asker.opened, captions))

    def avoided(self) -> Avoided:
        return self.once("avoided", lambda: self._by_negative(self.asker.queries(self.phrasings())[0]))

    def avoided_text(self) -> Avoided:
        return self._by_negative(self.asker.parts.repeated(self.phrasings().embeddings()))

    def _by_negative(self, vectors: Tensor) -> Avoided:
        """One vector per negative, the mean of its phrasings' vectors; all queries avoid the same."""
        groups = vectors.split([len(negative.captions) for negative in self.negatives])
        placed = zip(groups, self.negatives, strict=True)
        only = self.asker.parts.only
        means = torch.stack([only(F.normalize(each.mean(dim=0), dim=-1), at.part) for each, at in placed])  # (M, D)
        weights = torch.tensor([negative.weight for negative in self.negatives])
        return Avoided(means[:, None, None].expand(-1, 1, self.size, -1), weights)


class CaptionBench(SearchBench):
    """Queries that the model generates for captions."""

    def __init__(
        self, asker: Asker, captions: TypedCaptions, negatives: Sequence[Negative], index: Tensor | None = None
    ):
        super().__init__(asker, negatives, index)
        self.captions = captions

    @property
    def size(self) -> int:
        return len(self.captions.numbers)

    def plain(self) -> Tensor:
        return self.once("plain", lambda: self.asker.queries(self.captions))

    def guided(self, form: str, guidance: float, negative: float, interval: Sequence[float] = ()) -> Tensor:
        asked: dict[str, Any] = {"guidance_scale": guidance} | ({"interval": tuple(interval)} if interval else {})
        parts = self.asker.parts

        def away(part: Part | None) -> Tensor:
            avoided = [(text, negative * weight) for text, weight in self._first_phrasings(part)]
            return self.asker.queries(self.captions, Steer(avoided, form) if avoided else None, **asked)

        queries = away(None)
        for part in dict.fromkeys(each.part for each in self.negatives if each.part is not None):
            queries = parts.replaced(queries, away(part), part)
        return queries

    def teacher(self) -> Tensor:
        return self.asker.parts.repeated(self.captions.embeddings()).unsqueeze(0)

    def _first_phrasings(self, part: Part | None) -> list[tuple[TextStates, float]]:
        """The first phrasing of each negative that counts in a part, for all captions, and its weight."""
        firsts = np.cumsum([0, *(len(negative.captions) for negative in self.negatives)])[:-1]
        states = self.phrasings().states
        return [
            (states.select(np.full(self.size, first)), negative.weight)
            for first, negative in zip(firsts, self.negatives, strict=True)
            if negative.part in (None, part)
        ]


class VectorBench(SearchBench):
    """Queries (P, D) that are given: a track's, or edited ones. Nothing is sampled for them, so nothing is guided."""

    def __init__(self, asker: Asker, queries: Tensor, negatives: Sequence[Negative], index: Tensor | None = None):
        super().__init__(asker, negatives, index)
        self.given = queries

    @property
    def size(self) -> int:
        return len(self.given)

    def plain(self) -> Tensor:
        return self.given.unsqueeze(0)

    def guided(self, form: str, guidance: float, negative: float, interval: Sequence[float] = ()) -> Tensor:
        raise SearchError(
            "guidance steers what is sampled for a caption, and this query is a track's or an edited one; choose "
            "method='query_penalty' or 'query_arithmetic'"
        )

    def teacher(self) -> Tensor:
        raise SearchError("the teacher's query is a caption's, and here is none; choose method='query_penalty'")


def number_of(caption: str) -> int:
    """A hash of a caption, below 2^63."""
    return int.from_bytes(blake2b(caption.encode(), digest_size=8).digest()) >> 1
