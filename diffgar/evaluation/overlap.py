"""Overlaps of two collections' audio, found by latents: tracks that are the same recording, whole or in part.

Candidates are near by their means, or have frames that are near; a pair counts if its frames agree *in order*, at the
offset at which they agree best. Tracks that only sound alike have near means too, and even near frames: their frames'
course, which is what is left of a run when its mean is taken out, goes ways of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.values import number, whole

CHUNK = 2**25  # cosines held at once
TINY = 1e-9


@dataclass(frozen=True)
class OverlapOptions:
    """How overlaps are looked for.

    similarity, course: the least of both that a pair has, see `Pair`. least_share: of the shorter track's frames, how
    much is compared at least. candidates: how many nearest tracks are compared for each mean and each probe. probes:
    frames of each track, evenly spread, whose nearest frames give candidates too: they find parts; 0 for none.
    """

    similarity: float = 0.94
    course: float = 0.4
    least_share: float = 0.5
    candidates: int = 5
    probes: int = 4

    def __post_init__(self) -> None:
        for name in ("similarity", "course"):
            number(f"overlap.{name}", getattr(self, name), least=-1, most=1)
        number("overlap.least_share", self.least_share, least=0, most=1)
        for name, least in (("candidates", 1), ("probes", 0)):
            whole(f"overlap.{name}", getattr(self, name), least=least)


@dataclass(frozen=True)
class Pair:
    """A track of the first collection and one of the second, by their positions, at the offset that fits best.

    similarity: the cosine of their frames, in order, as one long vector about the collections' mean. course: the same
    about the mean of each run. offset: by how many frames the music comes later in the second track than in the first.
    frames: how many were compared.
    """

    first: int
    second: int
    similarity: float
    course: float
    offset: int
    frames: int


def compared_pairs(first: Store, second: Store, options: OverlapOptions) -> list[Pair]:
    """All candidates, compared, the most similar first. Where both are one store, no track is compared with itself."""
    alone = first.folder == second.folder
    centre = torch.cat([store.means(np.arange(len(store))) for store in (first, second)]).mean(dim=0)
    mine, theirs = (Tracks.of(store, centre) for store in (first, second))
    pairs = candidates(mine, theirs, options, alone)
    found = [compared(one, other, mine[one], theirs[other], options.least_share) for one, other in sorted(pairs)]
    return sorted(found, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def overlapping(pairs: Iterable[Pair], options: OverlapOptions) -> list[Pair]:
    """The pairs that overlap: both of their numbers reach what is asked."""
    return [pair for pair in pairs if pair.similarity >= options.similarity and pair.course >= options.course]


@dataclass(frozen=True)
class Tracks:
    """A collection's frames (F, D) and its tracks' means (N, D), about a centre; offsets (N + 1,) of the tracks."""

    frames: Tensor
    means: Tensor
    offsets: np.ndarray

    @classmethod
    def of(cls, store: Store, centre: Tensor) -> "Tracks":
        """Of a latent store."""
        frames = torch.from_numpy(np.concatenate([store.row(i) for i in range(len(store))]).astype(np.float32))
        return cls(frames - centre, store.means(np.arange(len(store))) - centre, np.append(0, store.lengths.cumsum()))

    def __getitem__(self, track: int) -> Tensor:
        return self.frames[self.offsets[track] : self.offsets[track + 1]]

    @property
    def owners(self) -> Tensor:
        """The track of each frame, (F,)."""
        return torch.from_numpy(np.repeat(np.arange(len(self.means)), np.diff(self.offsets)))

    def probes(self, count: int) -> Tensor:
        """Positions of `count` frames of each track, evenly spread, (N · count,)."""
        lengths = np.diff(self.offsets)[:, None]
        inside = (lengths * (np.arange(count) + 0.5) / max(1, count)).astype(np.int64)  # (N, count)
        return torch.from_numpy((self.offsets[:-1, None] + inside).ravel())


def candidates(first: Tracks, second: Tracks, options: OverlapOptions, alone: bool = False) -> set[tuple[int, int]]:
    """Pairs of tracks that may overlap: near by their means, or by a frame of either.

    alone: both are one collection, of which no track is paired with itself, and no pair stands twice.
    """
    count, numbers = options.candidates, [torch.arange(len(each.means)) for each in (first, second)]
    pairs = _nearest(first.means, numbers[0], second.means, numbers[1], count, alone)
    for one, other in ((first, second), (second, first)):
        probes = one.probes(options.probes)
        found = _nearest(one.frames[probes], one.owners[probes], other.frames, other.owners, count, alone)
        pairs |= found if one is first else {(mine, theirs) for theirs, mine in found}
    return {(min(pair), max(pair)) for pair in pairs} if alone else pairs


def compared(one: int, other: int, first: Tensor, second: Tensor, least_share: float = 0.5) -> Pair:
    """Two tracks, of frames (S, D) and (T, D) about a centre, at the offset at which they agree best."""
    size, length = len(first), len(second)
    offset = torch.arange(1 - size, length)  # of every diagonal of the table of all frames
    start = (-offset).clamp(min=0)  # where its run begins in the first; in the second, at start + offset
    count = torch.minimum(torch.tensor(size) - start, torch.tensor(length) - (start + offset))
    together = along_diagonals(first @ second.T)
    runs = [_runs(each, begin, count) for each, begin in ((first, start), (second, start + offset))]
    (sums, squares), (other_sums, other_squares) = runs
    similarity = together / (squares * other_squares).sqrt().clamp(min=TINY)
    apart = together - (sums * other_sums).sum(dim=1) / count
    spreads = [square - each.square().sum(dim=1) / count for each, square in runs]
    course = apart / (spreads[0] * spreads[1]).clamp(min=0).sqrt().clamp(min=TINY)
    enough = count >= max(1, round(least_share * min(size, length)))
    best = int(torch.where(enough, similarity, -torch.inf).argmax())
    return Pair(one, other, float(similarity[best]), float(course[best]), int(offset[best]), int(count[best]))


def _runs(frames: Tensor, begin: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """The sums (R, D) of runs of frames (T, D), and the sums (R,) of their squares."""
    sums, squares = F.pad(frames.cumsum(dim=0), (0, 0, 1, 0)), F.pad(frames.square().sum(dim=1).cumsum(dim=0), (1, 0))
    return sums[begin + count] - sums[begin], squares[begin + count] - squares[begin]


def along_diagonals(table: Tensor) -> Tensor:
    """The sums of a table's (S, T) diagonals, (S + T − 1,), from the lower left corner on.

    along_diagonals([[1, 2], [3, 4]]) is [3, 1 + 4, 2].
    """
    rows, columns = table.shape
    width = rows + columns
    skewed = F.pad(table.flip(0), (0, rows)).flatten()[: rows * (width - 1)].view(rows, width - 1)
    return skewed.sum(dim=0)


def _nearest(
    queries: Tensor, owners: Tensor, index: Tensor, tracks: Tensor, count: int, alone: bool
) -> set[tuple[int, int]]:
    """Pairs of a query's owner and the track of each of its `count` nearest vectors; `alone`: of another track."""
    queries, index, pairs = F.normalize(queries, dim=-1), F.normalize(index, dim=-1), set()
    size = max(1, CHUNK // len(index))
    for start in range(0, len(queries), size):
        own = owners[start : start + size, None]
        cosines = queries[start : start + size] @ index.T
        if alone:
            cosines = cosines.masked_fill(tracks == own, -torch.inf)
        near = tracks[cosines.topk(min(count, len(index)), dim=1).indices]  # (q, count)
        pairs |= set(zip(own.expand_as(near).flatten().tolist(), near.flatten().tolist(), strict=True))
    return {(one, other) for one, other in pairs if not alone or one != other}
