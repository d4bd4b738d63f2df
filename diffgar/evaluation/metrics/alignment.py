"""Ranking by the best monotone cut: a change that a caption tells may come anywhere in the track.

A query has P unit vectors, one per part. A track is cut into P contiguous parts, none of them empty, wherever that
answers the query best, and the similarity is the mean of the parts' cosines there:

    max over cuts of (1 / P) · Σ_p cos(query part p, mean of the track's part p)

Cuts lie on a grid of G equal steps. The maximum over them is exact: dynamic programming over the end of the last part,
from the similarities of the parts with all spans of steps. With P = 1 the only span is the whole track, and the
similarity is the pooled cosine.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TRACKS = 2048  # of one product: memory does not grow with the pool
BLOCK = 64  # a product is padded to a multiple of this, so that equal tracks score equally (see `ranks.py`)

Span = tuple[int, int]  # from one step up to another


@dataclass(frozen=True)
class AlignedIndex:
    """Tracks as steps, in the place of an index of vectors.

    steps (N, G, D): the mean latents of G equal steps of each track, relative to the centre. parts: P, from 1 to G.
    pooled_weight: the weight of the pooled cosine beside the best cut's. A query is what `segments.mixed` makes: its
    parts side by side, after the pooled vector where that has a weight.
    """

    steps: Tensor
    parts: int
    pooled_weight: float = 0.0

    def __post_init__(self) -> None:
        broken = (~self.steps.isfinite()).flatten(1).any(dim=1).nonzero().flatten()
        if len(broken):
            raise ValueError(
                f"{len(broken)} tracks have NaN or infinite latents, row {int(broken[0])} first; extract them again"
            )

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, tracks: Tensor) -> "AlignedIndex":
        """Some of the tracks, (n,) of their positions."""
        return AlignedIndex(self.steps[tracks], self.parts, self.pooled_weight)

    @property
    def device(self) -> torch.device:
        """Where the steps lie."""
        return self.steps.device

    def to(self, device: torch.device | str) -> "AlignedIndex":
        """The same tracks on a device."""
        return AlignedIndex(self.steps.to(device), self.parts, self.pooled_weight)

    @property
    def shape(self) -> tuple[int, int]:
        """The number of tracks, and the dimensions of a query."""
        return len(self.steps), (self.parts + (self.pooled_weight > 0)) * self.steps.shape[2]

    def scores(self, queries: Tensor) -> Tensor:
        """The similarity (q, N) of unit queries (q, `shape[1]`) with all tracks."""
        queries = queries.unflatten(1, (-1, self.steps.shape[2]))  # (q, P or 1 + P, D)
        return torch.cat([self._scores_of(queries, steps) for steps in self.steps.split(TRACKS)], dim=1)

    def _scores_of(self, queries: Tensor, steps: Tensor) -> Tensor:
        """The similarity (q, n) with some tracks."""
        grid, weight = steps.shape[1], self.pooled_weight
        sums = F.pad(steps.double().cumsum(dim=1), (0, 0, 1, 0, 0, -len(steps) % BLOCK)).transpose(0, 1)
        scores = best_cut(queries[:, -self.parts :], sums) * ((1 - weight) / self.parts) ** 0.5
        if weight:
            scores = scores + weight**0.5 * similarity_with_spans(queries[:, 0], sums, [(0, grid)])[0, grid]
        return scores[:, : len(steps)]


def best_cut(parts: Tensor, sums: Tensor) -> Tensor:
    """The largest sum (q, n) of dot products of query parts (q, P, D) with as many contiguous parts of n tracks.

    sums (G + 1, n, D): those of each track's first 0 to G steps. Raises ValueError for more parts than steps.
    """
    (num_parts, grid), best = (parts.shape[1], len(sums) - 1), dict[int, Tensor]()  # end of the last part → best sum
    if num_parts > grid:
        raise ValueError(f"{num_parts} parts, none of them empty, need as many steps; found {grid}")
    for part, vectors in enumerate(parts.unbind(dim=1)):
        left = num_parts - part - 1  # parts that follow, with at least a step each
        ends = range(part + 1, grid - left + 1) if left else [grid]
        spans = [(begin, end) for end in ends for begin in best or [0] if begin < end]
        longer: dict[int, Tensor] = {}
        for (begin, end), similarity in similarity_with_spans(vectors, sums, spans).items():
            total = best[begin] + similarity if best else similarity
            longer[end] = torch.maximum(longer[end], total) if end in longer else total
        best = longer
    return best[grid]


def similarity_with_spans(vectors: Tensor, sums: Tensor, spans: list[Span]) -> dict[Span, Tensor]:
    """Span → the dot products (q, n) of vectors (q, D) with the span's unit mean in n tracks, from their `sums`."""
    begin, end = torch.tensor(spans, device=sums.device).unbind(dim=1)
    units = F.normalize(sums[end] - sums[begin], dim=-1).to(vectors)  # (spans, n, D)
    products = (vectors @ units.flatten(0, 1).T).unflatten(1, units.shape[:2])  # (q, spans, n)
    return dict(zip(spans, products.unbind(dim=1), strict=True))
