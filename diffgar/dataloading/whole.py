"""Whole tracks as a fixed number of frames: each is cut into equal parts, and a part is represented by its mean."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.dataloading.store.reader import Store


def whole_tracks(audio: Store, rows: np.ndarray, num_parts: int) -> Tensor:
    """The means (B, num_parts, D) fp16 of equal parts of whole tracks: `segments.segment_means`, of ragged rows.

    A frame that a cut goes through counts for both parts by its share, so a track of fewer frames than parts is
    stretched: [a, b] in 4 parts is [a, a, b, b]. The work grows with the frames of these tracks, not with the longest.
    """
    lengths = audio.lengths[rows][:, None]  # (B, 1)
    cuts = lengths * np.arange(num_parts + 1) / num_parts  # (B, P + 1)
    begin, end = cuts[:, :-1].ravel(), cuts[:, 1:].ravel()  # (B · P,) of each part, in frames
    first = np.floor(begin).astype(np.int64)
    counts = np.ceil(end).astype(np.int64) - first  # frames that a part touches
    starts = np.cumsum(counts) - counts  # where its frames begin in one list of all parts' frames
    part = np.repeat(np.arange(len(counts)), counts)  # (M,) the part of each in that list
    frame = np.arange(len(part)) - (starts - first)[part]  # (M,) its number within its track
    overlap = np.minimum(end[part], frame + 1) - np.maximum(begin[part], frame)
    share = torch.from_numpy(overlap / (end - begin)[part]).half()
    index = torch.from_numpy(frame + np.repeat(audio.starts_of(rows), num_parts)[part])
    frames = audio.frames
    if not isinstance(frames, Tensor):
        frames, index = torch.from_numpy(frames[index.numpy()]), torch.arange(len(index))
    index, starts_of, share = (each.to(frames.device) for each in (index, torch.from_numpy(starts), share))
    means = F.embedding_bag(index, frames, starts_of, mode="sum", per_sample_weights=share)  # (B · P, D)
    return means.unflatten(0, (len(rows), num_parts))
