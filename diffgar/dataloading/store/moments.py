"""Mean and standard deviation of more frames than memory holds."""

import numpy as np

NOTHING_ELSE = 1000.0  # a common mean beyond which float16 holds no difference between latents
FLOOR = 1e-4  # of the typical standard deviation: what a dimension that never varies is divided by


class Moments:
    """Per-dimension mean and standard deviation in float64, block by block in a fixed order."""

    def __init__(self, dim: int):
        self.count, self.sum, self.square = 0, np.zeros(dim), np.zeros(dim)

    def add(self, frames: np.ndarray) -> None:
        """Count in more frames (T, D)."""
        frames = frames.astype(np.float64)
        self.count += len(frames)
        self.sum += frames.sum(axis=0)
        self.square += (frames**2).sum(axis=0)

    def result(self) -> tuple[list[float] | None, list[float] | None]:
        """Mean (D,) and standard deviation (D,), no entry of which is 0; (None, None) without a frame.

        The floor is relative, so that latents of any scale are normalised alike.
        """
        if self.count == 0:
            return None, None
        mean = self.sum / self.count
        variance = np.maximum(self.square / self.count - mean**2, 0)
        typical = np.sqrt(variance.mean()) or 1.0
        return mean.tolist(), np.sqrt(variance).clip(min=FLOOR * typical).tolist()


def common_mean(mean: list[float] | None, std: list[float] | None) -> float:
    """The norm of the latents' mean as a multiple of that of their standard deviation; 0 without latents."""
    return 0.0 if mean is None or std is None else float(np.linalg.norm(mean) / np.linalg.norm(std))
