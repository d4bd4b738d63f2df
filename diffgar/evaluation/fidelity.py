"""The fidelity evaluator: compares generated latents with real ones, beside a comparison of real with real.

The reference row compares real with real: the tracks are split in halves A and B, the row `real` compares real A with
real B, every other row what was generated for the captions of A with real B. So both use the same number of samples, on
which most of these numbers depend, and a model as good as real music reaches the reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.metrics.bootstrap import mean_with_interval
from diffgar.evaluation.metrics.per_caption import (
    sequence_statistics,
    teacher_scores,
    track_parts,
    within_statistics,
)
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.metrics.two_sets import NEIGHBOURS, compare_halves, draw_half, halve_tracks
from diffgar.evaluation.report import REAL, Metrics, Report, System
from diffgar.models.encoders.base import pool
from diffgar.values import whole

LEAST_TRACKS = 4 * (NEIGHBOURS + 1)  # the fit of FD∞ goes down to a quarter of a half


@dataclass(frozen=True)
class FidelityOptions:
    """How to compare.

    num_splits: random halvings of the tracks. max_frames: sampled from each side for comparisons of single frames.
    num_resamples: bootstrap resamples of tracks. seed: the seed of halvings, frames and bootstrap.
    """

    num_splits: int = 3
    max_frames: int = 2000
    num_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_splits", "max_frames", "num_resamples"):
            whole(f"fidelity.{name}", getattr(self, name), least=1)
        whole("fidelity.seed", self.seed)


@dataclass(frozen=True)
class RealMusic:
    """What generated latents are compared with.

    tracks: the frames of N tracks, (T_i, D) each. index (N, D): those pooled. targets (Q,): the track of each caption.
    captions (Q, D): the teacher's embeddings, None where the encoder pair is not joint.
    """

    tracks: list[Tensor]
    index: Tensor
    targets: Tensor
    captions: Tensor | None


def evaluate_fidelity(
    latents: Mapping[System, Tensor],
    real: Tensor | Sequence[Tensor],
    targets: Tensor,
    mask: Tensor | None = None,
    caption_embeddings: Tensor | None = None,
    options: FidelityOptions = FidelityOptions(),  # noqa: B008 (frozen)
    centre: Tensor | None = None,
) -> Report:
    """Compare generated with real latents, per frame and pooled, in the encoder's own (de-normalised) space.

    latents: system → (S, Q, T, D), S samples of each caption. real: the frames of N tracks, (N, T, D) with a mask
    (N, T) of the valid ones, or a list of (T_i, D). targets (Q,): the track of each caption. caption_embeddings (Q, D):
    the teacher's, where the encoder pair is joint. centre (D,): the point that is subtracted from all latents, by
    default the origin. It changes norms and whatever is pooled (pooling keeps a direction), but no distance of frames.

    The report's rows are REAL, the reference, and each system. Metrics of two sets: mean and std over splits and
    samples, low and high the 2.5 and 97.5 percentiles of those runs, n vectors on each side. Metrics of single
    captions: std over samples, a bootstrap interval by track, n captions (for REAL, tracks).
    """
    tracks = ragged(real, mask)
    if centre is not None and centre.any():
        tracks = [track - centre.to(track) for track in tracks]
        latents = {system: generated - centre.to(generated) for system, generated in latents.items()}
    _check_latents(latents, targets, tracks)
    index = torch.stack([pool(track) for track in tracks])  # (N, D)
    music = RealMusic(tracks, index, targets.cpu(), caption_embeddings)
    rows = {REAL: _real_metrics(music, max(len(generated) for generated in latents.values()), options)}
    for system, generated in latents.items():
        pooled = pool(generated)  # (S, Q, D)
        rows[system] = _set_metrics(generated, music, options)
        rows[system] |= _caption_metrics(generated, pooled.transpose(0, 1), index, music.targets, options)
        rows[system] |= _teacher_metrics(pooled, music, options)
    sizes = {"num_tracks": len(tracks), "num_captions": len(targets)}
    samples = {system.label: len(generated) for system, generated in latents.items()}
    return Report({"name": "halves", **sizes, "samples": samples, **asdict(options)}, rows)


def ragged(real: Tensor | Sequence[Tensor], mask: Tensor | None = None) -> list[Tensor]:
    """Tracks (N, T, D) with an optional mask (N, T), or a list of (T_i, D), as a list of float32 (T_i, D).

    Raises ValueError for a track without frames.
    """
    tracks = [real[i].float() if mask is None else real[i][mask[i]].float() for i in range(len(real))]
    if empty := [i for i, track in enumerate(tracks) if len(track) == 0]:
        raise ValueError(f"track {empty[0]} has no frames ({len(empty)} such); extract it again")
    return tracks


def _real_metrics(music: RealMusic, num_samples: int, options: FidelityOptions) -> Metrics:
    """The reference row: real music compared with real music, the parts of a track in place of a caption's samples."""
    parts = track_parts(music.tracks, max(2, num_samples))  # (N', K, D)
    metrics = _set_metrics(None, music, options)
    metrics |= _caption_metrics([music.tracks], parts, music.index, torch.arange(len(music.tracks)), options)
    return metrics | _teacher_metrics(music.index[music.targets].unsqueeze(0), music, options)


def _set_metrics(generated: Tensor | None, music: RealMusic, options: FidelityOptions) -> Metrics:
    """Metrics of two sets over all splits and samples; `generated` None compares real with real."""
    runs = []
    for split in range(options.num_splits):
        generator = torch.Generator().manual_seed(options.seed + split)
        asked, own, others = halve_tracks(music.targets, generator)
        captions = None if music.captions is None else music.captions[asked]
        second = draw_half([music.tracks[track] for track in others], None, options.max_frames, generator)
        if generated is None:
            answers = [[music.tracks[track] for track in own]]
        else:
            answers = [[sample[caption] for caption in asked] for sample in generated]
        for sequences in answers:
            first = draw_half(sequences, captions, options.max_frames, generator)
            runs.append(compare_halves(first, second, generator))
    counts = {"frame": len(second.frames), "pooled": len(second.pooled)}
    metrics = {}
    for level, name in ((level, name) for level, names in runs[0].items() for name in names):
        values = [run[level][name] for run in runs]
        metrics[name] = replace(Summary.of(values, values, counts[level]), redraws=None)  # runs are no redraws
    return metrics


def _caption_metrics(
    latents: Tensor | Sequence[Sequence[Tensor]],
    samples: Tensor,
    index: Tensor,
    groups: Tensor,
    options: FidelityOptions,
) -> Metrics:
    """Metrics of single sequences, and of the samples of one caption.

    latents: S times Q sequences (T_i, D). samples (Q', K, D): the K pooled samples of each caption, or parts of each
    track. groups (Q,): the track of each sequence.
    """
    statistics = [[sequence_statistics(sequence.float()) for sequence in sample] for sample in latents]
    names = statistics[0][0]
    values = {name: torch.tensor([[one[name] for one in sample] for sample in statistics]) for name in names}
    metrics = _intervals(values, groups, options)
    if samples.shape[1] > 1 and len(samples):
        within = {name: value.unsqueeze(0) for name, value in within_statistics(samples, index).items()}
        own = groups if len(groups) == len(samples) else torch.arange(len(samples))
        metrics |= _intervals(within, own, options)
    return metrics


def _teacher_metrics(pooled: Tensor, music: RealMusic, options: FidelityOptions) -> Metrics:
    """The teacher's scores of pooled latents (S, Q, D) for their captions; no metric where there is no teacher."""
    if music.captions is None:
        return {}
    return _intervals(teacher_scores(pooled, music.index, music.targets, music.captions), music.targets, options)


def _intervals(values: Mapping[str, Tensor], groups: Tensor, options: FidelityOptions) -> Metrics:
    """Metric → its summary, from values (S, Q) and the track (Q,) of each."""
    return {
        name: mean_with_interval(value, groups, options.num_resamples, options.seed) for name, value in values.items()
    }


def _check_latents(latents: Mapping[System, Tensor], targets: Tensor, tracks: list[Tensor]) -> None:
    """Refuse (ValueError) names, shapes and targets that do not fit together."""
    if REAL in latents or not latents:
        raise ValueError("give generated latents of at least one system, and none named 'real': that is the reference")
    for system, generated in latents.items():
        if generated.ndim != 4 or generated.shape[1] != len(targets):
            found = tuple(generated.shape)
            raise ValueError(f"system {system.label!r}: expected latents (S, {len(targets)}, T, D), found {found}")
    if int(targets.max()) >= len(tracks) or int(targets.min()) < 0:
        raise ValueError(f"targets name track {int(targets.max())}, but there are {len(tracks)} tracks")
    require_tracks(targets)


def require_tracks(targets: Tensor) -> None:
    """Refuse (InputError) captions of too few tracks to be halved; targets (Q,): the track of each caption."""
    if len(targets.unique()) < LEAST_TRACKS:
        raise InputError(
            f"fidelity needs captions of at least {LEAST_TRACKS} tracks, found {len(targets.unique())}: "
            "the halves would be too small to compare; take a larger split"
        )
