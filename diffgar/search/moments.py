"""When in a track it fits a query best: the similarity along the track, and its best moment."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH_SECONDS = 5.0  # a moment is a mean over about so long: one frame alone is a second, and chance decides


def timeline(frames: Tensor, query: Tensor, to_vectors: Callable[[Tensor], Tensor], width: int) -> np.ndarray:
    """The cosine of a query (D,) with each moment of a track, (T,) float32.

    frames (T, D): the track's latents. A moment is the mean of `width` frames, of fewer where the track is shorter or
    ends, beginning at the frame that it stands for. to_vectors: means (T, D) of latents to unit vectors (T, D) of the
    space that the query is in. A query (P, D) has a vector for each of P equal parts of the track, and a moment is
    compared with that of the part in which it begins: of 4 frames and 2 vectors, frames 0 and 1 with the first.
    """
    width = max(1, min(width, len(frames)))
    padded = F.pad(frames.float().cumsum(dim=0), (0, 0, 1, 0))  # (T + 1, D)
    starts = torch.arange(len(frames))
    ends = (starts + width).clamp(max=len(frames))
    means = (padded[ends] - padded[starts]) / (ends - starts).unsqueeze(1)  # (T, D)
    vectors, queries = to_vectors(means).cpu(), F.normalize(torch.atleast_2d(query).float().cpu(), dim=-1)
    cosines = torch.stack([vectors @ each for each in queries], dim=1)  # (T, P)
    return cosines[starts, starts * len(queries) // len(frames)].numpy()


def best_moment(similarity: np.ndarray, width: int) -> int:
    """The frame (from 0) where the best moment begins, of those that are as long as a moment; the first of equals.

    [0.1, 0.5, 0.4, 0.9] with a width of 2 gives 1: the last moment is cut short by the track's end.
    """
    whole = max(1, len(similarity) - max(1, width) + 1)
    return int(np.argmax(similarity[:whole]))
