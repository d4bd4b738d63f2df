"""A metric of one system with its spread, and the difference of two systems in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """A metric's mean, its standard deviation over samples, and its 95 % interval from `low` to `high`.

    n: how many captions, tracks or vectors it was computed on, where that is said.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int | None = None

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
        return cls(float(table.mean()), float(std), float(low), float(high), n)

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
