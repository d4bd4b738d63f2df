"""Per-caption metrics: diversity of a caption's samples, variance over time, norms, and the teacher's score."""

from collections.abc import Sequence

import torch
from torch import Tensor

from diffgar.evaluation.metrics.diversity import intra_caption_diversity, overlap_at, vendi_scores
from diffgar.evaluation.metrics.ranks import unit_rows
from diffgar.models.encoders.base import pool

OVERLAP_K = 10


def sequence_statistics(frames: Tensor) -> dict[str, float]:
    """Variance over time of a sequence (T, D), summed over D; the mean norm of its frames; the norm of their mean."""
    return {
        "temporal_variance": float(frames.var(dim=0, correction=0).sum()),
        "frame_norm": float(frames.norm(dim=-1).mean()),
        "pooled_norm": float(frames.mean(dim=0).norm()),
    }


def within_statistics(embeddings: Tensor, index: Tensor) -> dict[str, Tensor]:
    """How varied K ≥ 2 samples of each caption (Q, K, D) are, and what they retrieve from the index (N, D); each (Q,).

    All three depend on K. `overlap@10` is left out where the index has fewer than 10 tracks.
    """
    values = {
        "intra_caption_diversity": intra_caption_diversity(embeddings),
        "vendi_within_caption": vendi_scores(embeddings),
    }
    if len(index) >= OVERLAP_K:
        values[f"overlap@{OVERLAP_K}"] = 100 * overlap_at(embeddings, index, OVERLAP_K)
    return values


def track_parts(tracks: Sequence[Tensor], num_parts: int) -> Tensor:
    """The `num_parts` consecutive parts of each track (T_i, D) that is long enough, pooled: (N', num_parts, D).

    K parts of one track are the reference for K samples of one caption: real music varies that much by itself.
    """
    long = [track for track in tracks if len(track) >= num_parts]
    parts = [torch.stack([pool(part) for part in track.tensor_split(num_parts)]) for track in long]
    return torch.stack(parts) if parts else torch.empty(0, num_parts, tracks[0].shape[-1])


def teacher_scores(embeddings: Tensor, index: Tensor, targets: Tensor, captions: Tensor) -> dict[str, Tensor]:
    """The teacher's cosine between each caption and what answers it, plain and calibrated; each (S, Q).

    embeddings (S, Q, D) answer captions (Q, D), whose own tracks are rows `targets` (Q,) of the index (N, D).
    Calibrated: 0 is a real track of another caption, 100 the caption's own track, both in the mean over captions.
    """
    captions, index = unit_rows(captions, "caption embeddings").double(), unit_rows(index, "index").double()
    scores = (unit_rows(embeddings, "embeddings").double() * captions).sum(dim=-1)  # (S, Q)
    own = (captions * index[targets]).sum(dim=-1)  # (Q,)
    every = captions @ index.sum(dim=0)  # (Q,), Σ over the tracks
    shuffled = ((every - own) / (len(index) - 1)).mean()
    return {
        "teacher_score": scores,
        "teacher_score_calibrated": 100 * (scores - shuffled) / (own.mean() - shuffled),
    }
