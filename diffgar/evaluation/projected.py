"""Queries and index of a model that projects captions and tracks into a space of its own, as `ContrastiveHeads`."""

import numpy as np
import torch
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.evaluation.models import CaptionProjector, CaptionSource
from diffgar.evaluation.queries import part_means, track_positions
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.models.encoders.segments import side_by_side


def segments_of(model: CaptionProjector) -> int:
    """How many parts of a track such a model projects, one unless it says otherwise by its `segments`."""
    return getattr(model, "segments", 1)


def projected_queries(model: CaptionProjector, text: CaptionSource, positions: np.ndarray, segments: int = 1) -> Tensor:
    """Queries (1, Q, P) of a model that projects captions instead of generating.

    A model without segments of its own makes a query that has no course in time: it is the same for each segment.
    """
    parts = [positions[start : start + 1024] for start in range(0, len(positions), 1024)]
    with torch.inference_mode():
        queries = torch.cat([model.embed_text(text.padded(part)).cpu() for part in parts])
    return repeated(queries, segments if segments_of(model) == 1 else 1).unsqueeze(0)


def repeated(queries: Tensor, segments: int) -> Tensor:
    """Unit queries (Q, D) as those of P equal parts, (Q, P · D)."""
    return side_by_side(queries.unsqueeze(-2).expand(-1, segments, -1)) if segments > 1 else queries


def projected_index(model: CaptionProjector, audio: Store, task: RetrievalTask, segments: int = 1) -> Tensor:
    """The tracks (N, P) in the space of such a model; with several segments, or such of its own, their parts."""
    with torch.inference_mode():
        if segments_of(model) > 1:
            return model.embed_audio(part_means(audio, task, segments_of(model))).cpu()
        if segments == 1:
            return model.embed_audio(audio.means(track_positions(audio, task))).cpu()
        means = part_means(audio, task, segments)  # (N, S, D)
        return side_by_side(model.embed_audio(means.flatten(0, 1)).cpu().unflatten(0, means.shape[:2]))
