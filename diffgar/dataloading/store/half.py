"""Latents as float16: what it can hold, and what it would lose."""

from collections.abc import Sequence

import numpy as np

LARGEST = 65504  # the largest value of float16
MOST_ROUNDING = 0.02  # of the latents' standard deviation
FEWEST = 8  # tracks whose spread counts: one that loops, or two takes of a song, are nearly constant


def fault_of(latents: np.ndarray) -> str | None:
    """Why latents (T, D) cannot be stored and ranked, such as "has NaN or infinite values"; None for good ones."""
    if not np.isfinite(latents).all():
        return "has NaN or infinite values"
    if (largest := float(np.abs(latents).max())) > LARGEST:
        return f"has values up to {largest:.3g}, but float16, in which they are stored, ends at {LARGEST}"
    if not latents.any():
        return "is all zeros, so that it has no direction to be ranked by"
    return None


def rounding_of(latents: Sequence[np.ndarray]) -> float:
    """How far float16 moves latents (T_i, D), as a share of their standard deviation over frames; 0 where that is 0.

    The share is large for tiny latents (float16's smallest step is 6e-8) and for small ones on a large offset. With
    fewer than FEWEST tracks it is a share of their root mean square, which shows tiny latents alone.

    >>> rounding_of([np.array([[1000.0], [1001.3]])] * FEWEST) > MOST_ROUNDING
    True
    """
    num_frames = sum(map(len, latents))
    mean = sum(each.sum(axis=0, dtype=np.float64) for each in latents) / num_frames  # (D,)
    if len(latents) < FEWEST:
        mean = np.zeros_like(mean)
    square, error = np.zeros_like(mean), 0.0
    for each in latents:  # one by one: two hours of audio are 7200 frames
        exact = each.astype(np.float64)  # (T, D)
        square += np.square(exact - mean).sum(axis=0)
        error += np.square(exact.astype(np.float16) - exact).mean(axis=1).sum()
    spread = float(np.sqrt(square / num_frames).mean())
    return float(np.sqrt(error / num_frames)) / spread if spread else 0.0
