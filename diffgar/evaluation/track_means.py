"""The tracks of a task as their means: what queries search."""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.evaluation.queries import track_positions
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.models.encoders.base import pool
from diffgar.models.encoders.segments import segment_means

_read: WeakKeyDictionary[Store, tuple[np.ndarray, Tensor]] = WeakKeyDictionary()


def index_of(audio: Store, task: RetrievalTask, centre: Tensor | None = None) -> Tensor:
    """The mean over all frames of each of the task's tracks, as unit vectors (N, D) relative to `centre` (D,).

    The centre is the model's, and the same for its queries: the origin where the pair is joint (also by default), else
    the train store's mean. Where latents share a large mean, all cosines are near 1 and small errors decide the ranks.
    """
    return pool(track_means(audio, task).unsqueeze(1), centre=centre)


def track_means(audio: Store, task: RetrievalTask) -> Tensor:
    """The mean over all frames of each of the task's tracks, (N, D).

    They are read once and kept while the store is open: every model, step and pooling of an evaluation asks for them.
    """
    positions = track_positions(audio, task)
    if audio not in _read or not np.array_equal(_read[audio][0], positions):
        _read[audio] = positions, audio.means(positions)
    return _read[audio][1]


def part_means(audio: Store, task: RetrievalTask, segments: int) -> Tensor:
    """The mean latents of the parts of each of the task's tracks, whole and not cropped, (N, P, D)."""
    return means_of_parts(audio, track_positions(audio, task), segments)


def means_of_parts(audio: Store, rows: np.ndarray, segments: int) -> Tensor:
    """The mean latents of the parts of tracks (n) of an audio store, whole and not cropped, (n, P, D)."""
    tracks = (audio.row(position).astype(np.float32) for position in rows.tolist())
    return torch.stack([segment_means(torch.from_numpy(frames), segments) for frames in tracks])
