"""Latents as float16: what it holds, and what it would lose."""

from collections.abc import Sequence

import numpy as np

LARGEST = 65504  # that float16 holds
MOST_ROUNDING = 0.02  # of the latents' standard deviation


def fault_of(latents: np.ndarray) -> str | None:
    """What keeps latents (T, D) from being stored and ranked, as "has …", or None."""
    if not np.isfinite(latents).all():
        return "has NaN or infinite values"
    if (largest := float(np.abs(latents).max())) > LARGEST:
        return f"has values up to {largest:.3g}, but float16, in which they are stored, ends at {LARGEST}"
    if not latents.any():
        return "is all zeros, so that it has no direction to be ranked by"
    return None


def rounding_of(latents: Sequence[np.ndarray]) -> float:
    """How far float16 moves latents (T_i, D), as a share of their standard deviation over frames; 0 where that is 0.

    Tiny latents lose it (float16's smallest step is 6e-8), and small ones on a large offset.

    >>> rounding_of([np.array([[1000.0], [1001.3]])]) > MOST_ROUNDING
    True
    """
    exact = np.concatenate(latents).astype(np.float64)  # (F, D)
    spread = float(exact.std(axis=0).mean())
    rounding = float(np.sqrt(np.square(exact.astype(np.float16) - exact).mean()))
    return rounding / spread if spread else 0.0
