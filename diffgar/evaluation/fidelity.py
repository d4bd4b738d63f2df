"""The fidelity evaluator: generated latents against the real ones, each number beside its real-against-real floor.

The floor takes real tracks in the place of the generated: the tracks are split in halves A and B, the row `real`
compares real A with real B, every other row what was generated for the captions of A with real B. So both use the same
number of samples, on which most of these numbers depend, and a model as good as real reaches the floor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
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
from diffgar.evaluation.metrics.two_sets import NEIGHBOURS, compare_halves, draw_half
from diffgar.models.encoders.base import pool
from diffgar.values import whole

LEAST_TRACKS = 4 * (NEIGHBOURS + 1)  # the fit of FD∞ goes down to a quarter of a half


@dataclass(frozen=True)
class FidelityOptions:
    """num_splits: random halvings of the tracks. max_frames: frames drawn of each side per frame comparison."""

    num_splits: int = 3
    max_frames: int = 2000
    num_resamples: int = 1000
    seed: int = 0

    def __post_init__(self):
        for name in ("num_splits", "max_frames", "num_resamples"):
            whole(f"fidelity.{name}", getattr(self, name), least=1)
        whole("fidelity.seed", self.seed)


def evaluate_fidelity(
    rows: Mapping[str, Tensor],
    real: Tensor | Sequence[Tensor],
    targets: Tensor,
    mask: Tensor | None = None,
    caption_embeddings: Tensor | None = None,
    options: FidelityOptions = FidelityOptions(),  # noqa: B008 (frozen)
    centre: Tensor | None = None,
) -> dict:
    """Compare generated with real latents, per frame and pooled, in the encoder's own (de-normalised) space.

    centre (D,): where it is seen from, by default its origin. Distances between frames are the same from anywhere,
    norms and all that is pooled are not: what pooling keeps is a direction.

    rows: row name → generated latents (S, Q, T, D), S samples of each caption. real: the frames of N tracks, (N, T, D)
    with a mask (N, T) of the valid ones, or a list of (T_i, D). targets (Q,): the track of each caption.
    caption_embeddings (Q, D): the teacher's, where the encoder pair is joint.

    Returns {"protocol", "rows"}: for `real`, the floor, and each given row, metric → {"mean", "std", "low", "high",
    "n"}. Metrics of two sets: mean and std over splits and samples, low and high the 2.5 and 97.5 percentiles of those
    runs, n vectors on each side. Metrics of single captions: std over samples, a bootstrap interval by track, n
    captions (for `real`, tracks).
    """
    tracks = ragged(real, mask)
    if centre is not None and centre.any():
        tracks = [track - centre.to(track) for track in tracks]
        rows = {name: generated - centre.to(generated) for name, generated in rows.items()}
    _check_rows(rows, targets, tracks)
    targets = targets.cpu()
    index = torch.stack([pool(track) for track in tracks])  # (N, D)
    num_samples = max(len(generated) for generated in rows.values())
    parts = track_parts(tracks, max(2, num_samples))  # (N', K, D)
    table = {"real": _set_metrics(None, tracks, targets, caption_embeddings, options)}
    table["real"] |= _caption_metrics([tracks], parts, index, torch.arange(len(tracks)), options)
    for name, generated in rows.items():
        samples = pool(generated).transpose(0, 1)  # (Q, S, D)
        table[name] = _set_metrics(generated, tracks, targets, caption_embeddings, options)
        table[name] |= _caption_metrics(generated, samples, index, targets, options)
    if caption_embeddings is not None:
        answers = {"real": index[targets].unsqueeze(0)} | {name: pool(latents) for name, latents in rows.items()}
        for name, embeddings in answers.items():  # (S, Q, D)
            scores = teacher_scores(embeddings, index, targets, caption_embeddings)
            table[name] |= _intervals(scores, targets, options)
    sizes = {"num_tracks": len(tracks), "num_captions": len(targets)}
    samples = {name: len(generated) for name, generated in rows.items()}
    return {"protocol": {"name": "halves", **sizes, "samples": samples, **asdict(options)}, "rows": table}


def ragged(real: Tensor | Sequence[Tensor], mask: Tensor | None = None) -> list[Tensor]:
    """(N, T, D) with an optional mask (N, T), or a list of (T_i, D), as a list of float32 (T_i, D)."""
    tracks = [real[i].float() if mask is None else real[i][mask[i]].float() for i in range(len(real))]
    empty = [i for i, track in enumerate(tracks) if len(track) == 0]
    if empty:
        raise ValueError(f"track {empty[0]} has no frames ({len(empty)} such); extract it again")
    return tracks


def _set_metrics(
    generated: Tensor | None,
    tracks: list[Tensor],
    targets: Tensor,
    captions: Tensor | None,
    options: FidelityOptions,
) -> dict[str, dict[str, float]]:
    """Metrics of two sets over all splits and samples; of real against real where `generated` is None."""
    runs = []
    for split in range(options.num_splits):
        generator = torch.Generator().manual_seed(options.seed + split)
        shuffled = torch.randperm(len(targets), generator=generator)
        caption_of = dict(zip(targets[shuffled].tolist(), shuffled.tolist(), strict=True))  # one a track
        order = torch.tensor(sorted(caption_of))
        order = order[torch.randperm(len(order), generator=generator)].tolist()
        half = len(order) // 2
        asked = [caption_of[track] for track in order[:half]]
        answered = None if captions is None else captions[asked]
        second = draw_half([tracks[track] for track in order[half : 2 * half]], None, options.max_frames, generator)
        if generated is None:
            answers = [[tracks[track] for track in order[:half]]]
        else:
            answers = [[sample[caption] for caption in asked] for sample in generated]
        for sequences in answers:
            first = draw_half(sequences, answered, options.max_frames, generator)
            runs.append(compare_halves(first, second, generator))
    sizes = {"frame": len(second.frames)}
    return {
        name: _spread([run[name] for run in runs]) | {"n": sizes.get(name.partition("_")[0], half)} for name in runs[0]
    }


def _caption_metrics(
    latents: Tensor | list[list[Tensor]],
    samples: Tensor,
    index: Tensor,
    groups: Tensor,
    options: FidelityOptions,
) -> dict[str, dict[str, float]]:
    """Metrics of single sequences: `latents` S times Q of them, `samples` (Q', K, D) those of one caption, pooled."""
    statistics = [[sequence_statistics(sequence.float()) for sequence in sample] for sample in latents]
    names = statistics[0][0]
    values = {name: torch.tensor([[one[name] for one in sample] for sample in statistics]) for name in names}
    metrics = _intervals(values, groups, options)
    if samples.shape[1] > 1 and len(samples):
        within = {name: value.unsqueeze(0) for name, value in within_statistics(samples, index).items()}
        own = groups if len(groups) == len(samples) else torch.arange(len(samples))
        metrics |= _intervals(within, own, options)
    return metrics


def _intervals(values: dict[str, Tensor], groups: Tensor, options: FidelityOptions) -> dict[str, dict[str, float]]:
    return {
        name: mean_with_interval(value, groups, options.num_resamples, options.seed) for name, value in values.items()
    }


def _spread(runs: list[float]) -> dict[str, float]:
    low, high = np.percentile(runs, (2.5, 97.5))
    std = float(np.std(runs, ddof=1)) if len(runs) > 1 else 0.0
    return {"mean": float(np.mean(runs)), "std": std, "low": float(low), "high": float(high)}


def _check_rows(rows: Mapping[str, Tensor], targets: Tensor, tracks: list[Tensor]) -> None:
    if "real" in rows or not rows:
        raise ValueError("give at least one row of generated latents, and none named 'real': that is the floor's name")
    for name, generated in rows.items():
        if generated.ndim != 4 or generated.shape[1] != len(targets):
            found = tuple(generated.shape)
            raise ValueError(f"row {name!r}: expected latents (S, {len(targets)}, T, D), found {found}")
    if int(targets.max()) >= len(tracks) or int(targets.min()) < 0:
        raise ValueError(f"targets name track {int(targets.max())}, but there are {len(tracks)} tracks")
    require_tracks(targets)


def require_tracks(targets: Tensor) -> None:
    """Refuse (InputError) captions, `targets` (Q,) being the track of each, of fewer tracks than can be halved."""
    if len(targets.unique()) < LEAST_TRACKS:
        raise InputError(
            f"fidelity needs captions of at least {LEAST_TRACKS} tracks, found {len(targets.unique())}: "
            "the halves would be too small to compare; take a larger split"
        )
