"""Every metric of two sets at once: one half of the tracks, or what was generated for it, against the other half."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffgar.evaluation.metrics.distances import frechet_distance, frechet_infinity, kernel_distance
from diffgar.evaluation.metrics.diversity import prdc, vendi_score
from diffgar.evaluation.metrics.ranks import unit_rows
from diffgar.models.encoders.base import pool

NEIGHBOURS = 5  # k of precision, recall, density and coverage


@dataclass(frozen=True)
class Half:
    """One side of a comparison: frames (F, D), pooled (n, D), and the embeddings (n, D) of the captions it answers."""

    frames: Tensor
    pooled: Tensor
    captions: Tensor | None = None


def halve_tracks(targets: Tensor, generator: torch.Generator) -> tuple[list[int], list[int], list[int]]:
    """A random half of the tracks that have captions, targets (Q,) being the track of each, and as many of the others.

    Returns one random caption of each track of the first half, those tracks, and the tracks of the second half.
    """
    shuffled = torch.randperm(len(targets), generator=generator)
    caption_of = dict(zip(targets[shuffled].tolist(), shuffled.tolist(), strict=True))
    tracks = torch.tensor(sorted(caption_of))
    order = tracks[torch.randperm(len(tracks), generator=generator)].tolist()
    half = len(order) // 2
    return [caption_of[track] for track in order[:half]], order[:half], order[half : 2 * half]


def draw_half(
    sequences: Sequence[Tensor], captions: Tensor | None, max_frames: int, generator: torch.Generator
) -> Half:
    """Pool every sequence (T_i, D) and sample at most `max_frames` of their frames, without replacement."""
    starts = torch.tensor([0, *map(len, sequences)]).cumsum(dim=0)
    drawn = torch.randperm(int(starts[-1]), generator=generator)[:max_frames]
    owner = torch.searchsorted(starts, drawn, right=True) - 1
    pairs = zip(owner.tolist(), (drawn - starts[owner]).tolist(), strict=True)
    frames = torch.stack([sequences[sequence][frame] for sequence, frame in pairs])
    return Half(frames.float(), torch.stack([pool(sequence.float()) for sequence in sequences]), captions)


def compare_halves(first: Half, second: Half, generator: torch.Generator) -> dict[str, dict[str, float]]:
    """Every metric of two sets, `second` being real: those of single frames under `frame`, the others under `pooled`.

    Precision, recall, density and coverage are in per cent. The names say the level too, as in {"frame":
    {"frame_kernel": 0.1, …}, "pooled": {"pooled_kernel": 0.2, …, "vendi": 9.5}}.
    """
    levels = {"frame": (first.frames, second.frames), "pooled": (first.pooled, second.pooled)}
    values: dict[str, dict[str, float]] = {}
    for level, sides in levels.items():
        values[level] = {
            f"{level}_frechet": frechet_distance(*sides),
            f"{level}_frechet_infinity": frechet_infinity(*sides, generator),
            f"{level}_kernel": kernel_distance(*sides),
            **{f"{level}_{name}": 100 * value for name, value in prdc(*sides, NEIGHBOURS).items()},
        }
    values["pooled"]["vendi"] = vendi_score(first.pooled)
    if first.captions is not None:
        captions = unit_rows(first.captions, "caption embeddings")
        values["pooled"]["modality_gap"] = float((captions.mean(dim=0) - first.pooled.mean(dim=0)).norm())
    return values
