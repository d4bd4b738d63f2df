"""What can be said of one caption's samples at a time: variety within it, movement over time, norms, teacher score."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from diffgar.evaluation.metrics.diversity import intra_caption_diversity, overlap_at, vendi_scores
from diffgar.evaluation.metrics.ranks import unit_rows
from diffgar.evaluation.metrics.recall import redraw
from diffgar.models.encoders.base import pool

OVERLAP_K = 10


def sequence_statistics(frames: Tensor) -> dict[str, float]:
    """Of one sequence (T, D): variance over time, summed over D; mean norm of its frames; norm of their mean."""
    return {
        "temporal_variance": float(frames.var(dim=0, correction=0).sum()),
        "frame_norm": float(frames.norm(dim=-1).mean()),
        "pooled_norm": float(frames.mean(dim=0).norm()),
    }


def within_statistics(embeddings: Tensor, index: Tensor) -> dict[str, Tensor]:
    """Of K ≥ 2 samples of each caption (Q, K, D): how varied they are, and what they retrieve from (N, D); each (Q,).

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
    """Each track long enough, (T_i, D), as its `num_parts` consecutive parts, pooled: (N', num_parts, D).

    One track heard in K parts is the floor of K samples of one caption: real music varies that much by itself.
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


def mean_with_interval(values: Tensor, groups: Tensor, num_resamples: int, seed: int) -> dict[str, float]:
    """values (S, Q) of S samples: mean, std over samples, and a 95 % bootstrap interval by group (Q,) of the mean."""
    group_of = np.unique(groups.numpy(), return_inverse=True)[1]  # (Q,), counted from 0
    found = values.double().numpy()  # (S, Q)
    totals = np.zeros((group_of.max() + 1, 2))  # a group's sum, and its number of values
    np.add.at(totals, group_of, np.stack([found.mean(axis=0), np.ones(found.shape[1])], axis=1))
    means = [np.divide(*(drawn @ totals)) for drawn in redraw(len(totals), num_resamples, seed)]
    low, high = np.percentile(means, (2.5, 97.5))
    std = found.mean(axis=1).std(ddof=1) if len(found) > 1 else 0.0
    summary = {"mean": found.mean(), "std": std, "low": low, "high": high}
    return {key: float(number) for key, number in summary.items()} | {"n": found.shape[1]}
