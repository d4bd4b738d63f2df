"""Queries and index of a model that projects captions and tracks into a space of its own, as `ContrastiveHeads`."""

import numpy as np
import torch
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.evaluation.models import CaptionProjector, CaptionSource
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.evaluation.track_means import means_of_parts, part_means, track_means


def segments_of(model: CaptionProjector) -> int:
    """How many parts of a track such a model projects, one unless it says otherwise by its `segments`."""
    return getattr(model, "segments", 1)


def projected_queries(model: CaptionProjector, text: CaptionSource, positions: np.ndarray) -> Tensor:
    """Queries (1, Q, P) of a model that projects captions instead of generating."""
    parts = [positions[start : start + 1024] for start in range(0, len(positions), 1024)]
    with torch.inference_mode():
        queries = torch.cat([model.embed_text(text.padded(part)).cpu() for part in parts])
    return queries.unsqueeze(0)


def projected_index(model: CaptionProjector, audio: Store, task: RetrievalTask) -> Tensor:
    """A task's tracks (N, P) in the space of such a model, from their means or those of their parts."""
    segments = segments_of(model)
    return projected(model, part_means(audio, task, segments) if segments > 1 else track_means(audio, task))


def projected_tracks(model: CaptionProjector, audio: Store, rows: np.ndarray) -> Tensor:
    """Tracks (n, P) of an audio store in the space of such a model, as for `projected_index`."""
    segments = segments_of(model)
    return projected(model, means_of_parts(audio, rows, segments) if segments > 1 else audio.means(rows))


def projected(model: CaptionProjector, means: Tensor) -> Tensor:
    """Means (n, D), or those of parts (n, S, D), in the space of such a model, (n, P)."""
    with torch.inference_mode():
        return model.embed_audio(means).cpu()
