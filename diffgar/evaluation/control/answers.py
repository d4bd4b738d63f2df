"""The answer of a steering method: queries, and penalties that are subtracted from the tracks' similarities."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.metrics.ranks import unit_rows


@dataclass(frozen=True)
class Answer:
    """Queries (S, P, D) of S sampling seeds, and for each seed the penalty (P, N) that is subtracted from the cosines.

    An infinite penalty drops a track. index: the tracks (N, D') in the space of the queries, where that is their own.
    """

    queries: Tensor
    penalties: Iterable[Tensor] | None = None
    index: Tensor | None = None


@dataclass(frozen=True)
class Avoided:
    """What queries are steered away from: M unit vectors for each of P captions, and how much each counts.

    vectors (M, S, P, D), with S sampling seeds, or 1 where all seeds share them; weights (M,).
    """

    vectors: Tensor
    weights: Tensor

    def summed(self) -> Tensor:
        """The weighted sum of the vectors, (S, P, D)."""
        return torch.einsum("m,mspd->spd", self.weights.to(self.vectors), self.vectors)

    def of_seed(self, seed: int) -> Iterator[tuple[Tensor, float]]:
        """Each negative's vectors (P, D) of the seed with this number, and its weight."""
        last = self.vectors.shape[1] - 1
        return zip(self.vectors[:, min(seed, last)], self.weights.tolist(), strict=True)


def subtracted(queries: Tensor, avoided: Avoided, weight: float) -> Answer:
    """Unit queries (S, P, D) from which a weight of what is to be avoided is subtracted."""
    return Answer(F.normalize(queries - weight * avoided.summed(), dim=-1))


def penalised(index: Tensor, queries: Tensor, avoided: Avoided, penalty: float) -> Answer:
    """Queries (S, P, D) with `hinge_penalty` on the tracks near to what is to be avoided; penalties add up.

    index: unit vectors (N, D), as `Bench.unit_index` makes them once: that takes eight times as long as a comparison.
    The penalties, each as large as the pool, are made one seed at a time, when they are needed.
    """
    return Answer(queries, (_penalty(sample, avoided, seed, index, penalty) for seed, sample in enumerate(queries)))


def _penalty(queries: Tensor, avoided: Avoided, seed: int, index: Tensor, penalty: float) -> Tensor:
    each = [hinge_penalty(queries, vectors, index, penalty * weight) for vectors, weight in avoided.of_seed(seed)]
    return torch.stack(each).sum(dim=0)


def dropping(tracks: Tensor) -> Tensor:
    """The penalty (P, N) that drops the given tracks, (P, N) bool: infinite there, 0 elsewhere."""
    return torch.zeros(tracks.shape).masked_fill(tracks, torch.inf)


def hinge_penalty(queries: Tensor, negatives: Tensor, index: Tensor, strength: float) -> Tensor:
    """Penalty (P, N) on the tracks that are closer to the negatives (P, D) than the average track; 0 elsewhere.

    It is strength · σ · max(0, z): z is the cosine to the negative, standardised over the pool, and σ the standard
    deviation of the cosine to the query (P, D). index (N, D): unit vectors. Vector arithmetic (q − λ · negative) also
    rewards the tracks that are farther from the negative than the average; the penalty leaves those as they are.
    """
    wanted, avoided = (unit_rows(vectors, "queries") @ index.T for vectors in (queries, negatives))
    if len(index) < 2:
        return torch.zeros_like(avoided)  # no other track to be closer than
    z = (avoided - avoided.mean(dim=1, keepdim=True)) / avoided.std(dim=1, keepdim=True).clamp(min=1e-12)
    return strength * wanted.std(dim=1, keepdim=True) * z.clamp(min=0)
