"""The k nearest tracks to a query: the exact product, or FAISS where a library is so large that it helps.

On one CPU thread the exact product of 128 million numbers, a million tracks of 128 dimensions, takes 50 ms, and FAISS
2.5 ms for the same tracks, after 4 s once per process to build its lists (benchmarks/nearest.py, docs/scale.md). Below
that size nothing would be noticed.
"""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

LARGE = 100_000_000  # numbers in an index: from here on FAISS is used, if it is installed
SHORT_LIST = 100  # tracks that FAISS proposes, to be ranked exactly: for at most half as many hits
PROBES = 64  # lists that it looks through: 97 to 100 % of the exact top 10


@dataclass(frozen=True, eq=False)
class Found:
    """The k best tracks, best first: positions, cosines and scores (k,); of how many tracks they are the best."""

    positions: Tensor
    cosines: Tensor
    scores: Tensor
    count: int


class Nearest:
    """An index (N, D) of unit vectors that gives the tracks nearest to a query.

    large: the size in numbers, N · D, from which FAISS proposes tracks where it is installed. Then a few per cent of
    the nearest are missing; those found have their exact cosines and stand in the exact order.
    """

    def __init__(self, index: Tensor, large: int = LARGE):
        self.index = index
        self.faiss = faiss_or_none() if index.numel() >= large else None

    def search(self, query: Tensor, k: int, penalty: Tensor | None = None) -> Found:
        """The best k for a unit query (D,), fewer where the index has fewer. penalty (N,): what each cosine loses.

        A penalty changes the order of all tracks, so that with one all of them are compared, however many they are; an
        infinite one drops a track, which `count` then leaves out.
        """
        if penalty is None and self.faiss is not None and k <= SHORT_LIST // 2:
            return self.proposed(query, k)
        cosines = self.index @ query  # (N,)
        scores = cosines if penalty is None else cosines - penalty
        count = len(scores) if penalty is None else int(scores.isfinite().sum())
        best = scores.topk(min(k, count))
        return Found(best.indices, cosines[best.indices], best.values, count)

    def proposed(self, query: Tensor, k: int) -> Found:
        """The best k of the tracks that FAISS proposes, ranked exactly."""
        found = torch.from_numpy(self.lists.search(query[None].numpy(), SHORT_LIST)[1][0])
        found = found[found >= 0]  # -1: its lists hold no more
        best = (self.index[found] @ query).topk(min(k, len(found)))
        return Found(found[best.indices], best.values, best.values, len(self.index))

    @cached_property
    def lists(self) -> Any:
        """FAISS's inverted lists of the index in half precision: about √N of them, made when they are first needed."""
        assert self.faiss is not None
        count, dim = self.index.shape
        num_lists = max(1, round(count**0.5))
        lists = self.faiss.index_factory(dim, f"IVF{num_lists},SQfp16", self.faiss.METRIC_INNER_PRODUCT)
        generator = torch.Generator().manual_seed(0)
        lists.train(self.index[torch.randperm(count, generator=generator)[: 40 * num_lists]].numpy())
        for part in self.index.split(50_000):
            lists.add(part.numpy())
        lists.nprobe = PROBES
        return lists


def faiss_or_none() -> ModuleType | None:
    """FAISS where it is installed (`pip install diffgar[faiss]`)."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss
