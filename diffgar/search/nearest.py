"""The k nearest tracks to a query: the exact product, or FAISS where a library is so large that it helps.

On one CPU thread the exact product of 128 million numbers, a million tracks of 128 dimensions, takes 50 ms, and FAISS
2.5 ms for the same tracks, after 4 s once to make its lists (benchmarks/nearest.py, docs/scale.md). Below that size
nothing would be noticed.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from diffgar.search.lists import SHORT_LIST, faiss_or_none, lists_of, proposed

LARGE = 100_000_000  # numbers in an index: from here on FAISS is used, if it is installed


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
    the nearest are missing; those found have their exact cosines and stand in the exact order. form: that of FAISS's
    lists, see `lists.FORMS`. folder: where they are kept, if anywhere.
    """

    def __init__(self, index: Tensor, large: int = LARGE, form: str = "ivf_sq", folder: Path | None = None):
        self.index, self.form, self.folder = index, form, folder
        self.faiss = faiss_or_none() if index.numel() >= large else None

    def search(self, query: Tensor, k: int, penalty: Tensor | None = None) -> Found:
        """The best k for a unit query (D,), fewer where the index has fewer. penalty (N,): what each cosine loses.

        A penalty changes the order of all tracks, so that with one all of them are compared, however many they are; an
        infinite one drops a track, which `count` then leaves out.
        """
        if penalty is None and self.faiss is not None and k <= SHORT_LIST // 2:
            positions, found = proposed(self.lists, self.index, query, k)
            return Found(positions, found, found, len(self.index))
        cosines = self.index @ query  # (N,)
        scores = cosines if penalty is None else cosines - penalty
        count = len(scores) if penalty is None else int(scores.isfinite().sum())
        best = scores.topk(min(k, count))
        return Found(best.indices, cosines[best.indices], best.values, count)

    @cached_property
    def lists(self) -> Any:
        """FAISS's lists of the index, opened or made when they are first needed."""
        assert self.faiss is not None
        return lists_of(self.faiss, self.index, self.form, self.folder)
