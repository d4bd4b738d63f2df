"""Sequences as P parts side by side: what a pooled vector forgets, the order of things, a dot product still compares.

A sequence is cut into P parts of equal length, and the parts' unit means stand side by side, divided by √P. The result
has unit length, and the dot product of two such vectors is the mean of the parts' cosines. With P = 1 it is `pool`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def segment_weights(lengths: Tensor, num_frames: int, segments: int) -> Tensor:
    """How much of each frame lies in each part, (B, P, T), for sequences of these lengths (B,) in frames.

    A frame that a cut goes through counts for both parts, by its share: 3 frames in 2 parts have the weights
    [1, 0.5, 0] and [0, 0.5, 1]. So parts are of equal length, and a sequence of fewer than P frames has P parts too.
    """
    cuts = lengths[:, None] * torch.arange(segments + 1, device=lengths.device) / segments  # (B, P + 1)
    first = torch.arange(num_frames, device=lengths.device)  # (T,) where each frame begins
    end = torch.minimum(cuts[:, 1:, None], first + 1)  # (B, P, T)
    return (end - torch.maximum(cuts[:, :-1, None], first)).clamp(min=0)


def segment_means(latents: Tensor, segments: int, mask: Tensor | None = None) -> Tensor:
    """The mean latents of each part, (..., P, D), of sequences (..., T, D) whose valid frames (..., T) come first."""
    *batch, num_frames, dim = latents.shape
    flat = latents.reshape(-1, num_frames, dim)
    lengths = torch.full((len(flat),), num_frames) if mask is None else mask.reshape(-1, num_frames).sum(dim=1)
    weights = segment_weights(lengths.to(flat), num_frames, segments)  # (B, P, T)
    means = weights @ flat / weights.sum(dim=2, keepdim=True)  # (B, P, D)
    return means.reshape(*batch, segments, dim)


def mixed(pooled: Tensor, parts: Tensor, weight: float) -> Tensor:
    """Unit vectors (..., D) and (..., P · D) as one, whose dot product mixes theirs: weight for the first, the rest for
    the second. With no weight it is `parts`.
    """
    return torch.cat([weight**0.5 * pooled, (1 - weight) ** 0.5 * parts], dim=-1) if weight else parts


def side_by_side(means: Tensor, centre: Tensor | None = None) -> Tensor:
    """Unit vectors (..., P · D) from the mean latents (..., P, D) of P parts, seen from `centre` (D,)."""
    units = F.normalize(means if centre is None else means - centre.to(means), dim=-1)
    return (units / means.shape[-2] ** 0.5).flatten(-2)
