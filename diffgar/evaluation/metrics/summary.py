"""A metric of one system with its spread, and the difference of two systems in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Summary:
    """A metric's mean, its standard deviation over samples, and its 95 % interval from `low` to `high`.

    n: how many captions, tracks or vectors it was computed on, where that is said. redraws: the mean on each bootstrap
    redraw, where a summary was just computed; by them two systems are compared in pairs (`Difference.between`).
    """

    mean: float
    std: float
    low: float
    high: float
    n: int | None = None
    redraws: np.ndarray | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, values: np.ndarray | Sequence[float], redraws: np.ndarray | Sequence[float], n: int | None = None
    ) -> "Summary":
        """Summarise S samples: their metric (S,), or its Q terms in each, (S, Q).

        redraws: the mean on each bootstrap redraw; the interval is from their 2.5 to their 97.5 percentile. The
        deviation is that of n − 1, and 0 for one sample. `Summary.of([1, 3], [1.5, 2.5])` has mean 2 and std 1.41.
        """
        table = np.asarray(values)
        samples = table if table.ndim == 1 else table.mean(axis=1)  # (S,)
        std = samples.std(ddof=1) if len(samples) > 1 else 0.0
        low, high = np.percentile(redraws, (2.5, 97.5))
        return cls(float(table.mean()), float(std), float(low), float(high), n, np.asarray(redraws))

    @classmethod
    def exact(cls, value: float, n: int | None = None) -> "Summary":
        """A value without spread, such as that of a random order."""
        return cls(value, 0.0, value, value, n)


@dataclass(frozen=True)
class Difference:
    """By how much one system's metric exceeds another's, with the paired 95 % interval from `low` to `high`.

    p: the two-sided bootstrap p-value, from the share of redraws on the other side of zero. outside_noise: whether the
    interval leaves out zero.
    """

    difference: float
    low: float
    high: float
    p: float
    outside_noise: bool

    @classmethod
    def between(cls, first: Summary, second: Summary) -> "Difference":
        """first − second, paired: redrawn with one seed and one grouping, both met the same tracks in each redraw."""
        assert first.redraws is not None and second.redraws is not None  # neither is exact, nor read from a file
        delta = first.redraws - second.redraws
        low, high = np.percentile(delta, (2.5, 97.5))
        p = min(1.0, 2 * (1 + min((delta <= 0).sum(), (delta >= 0).sum())) / (1 + len(delta)))
        return cls(first.mean - second.mean, float(low), float(high), float(p), bool(low > 0 or high < 0))
