"""From stores and a model to what an evaluator takes: the task, the index, the queries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.dataloading.latents import Store, TextStore
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.models.noise_keys import seed_of


def task_of(
    name: str,
    audio: Store,
    text: TextStore,
    split: str,
    protocol: str = "unique_tracks",
    where: dict | None = None,
    allow_missing: bool = False,
) -> RetrievalTask:
    """The task that two stores hold. where: keeps captions whose columns have these values, and their tracks.

    Tracks with captions and no latents (their audio was missing or broken) are refused unless allowed.
    """
    captions = text.rows[text.rows["split"] == split]
    for column, value in (where or {}).items():
        if column not in captions:
            raise ValueError(f"task {name}: captions have no column {column!r}; there are {', '.join(captions)}")
        captions = captions[captions[column].astype(str) == str(value)]
    tracks = captions[["track_id", "split"]].drop_duplicates("track_id")
    task = RetrievalTask.from_tables(name, tracks, captions, split=split, protocol=protocol)
    return task.with_tracks(set(audio.rows["row_id"]), allow_missing)


def index_of(audio: Store, task: RetrievalTask) -> Tensor:
    """The unit-norm mean over all frames of each of the task's tracks, (N, D)."""
    return F.normalize(audio.means(track_rows(audio, task)), dim=-1)


def track_rows(audio: Store, task: RetrievalTask) -> np.ndarray:
    """Where the task's tracks stand in the audio store, (N,)."""
    places = {row_id: place for place, row_id in enumerate(audio.rows["row_id"])}
    return np.array([places[track] for track in task.track_ids])


def caption_rows(text: TextStore, task: RetrievalTask) -> np.ndarray:
    """Where the task's captions stand in the text store, (Q,)."""
    places = {row_id: place for place, row_id in enumerate(text.rows["row_id"])}
    return np.array([places[caption] for caption in task.captions["caption_id"]])


@dataclass(frozen=True)
class Steer:
    """What to avoid: token states (Q, L, C) and mask (Q, L), one for each caption, how much, and in which form."""

    text: Tensor
    mask: Tensor
    weight: float = 1.0
    form: str = "compose"


def generated_latents(
    model,
    sampler,
    text: TextStore,
    rows: np.ndarray,
    num_frames: int,
    seed: int,
    steer: Steer | None = None,
    progress: Callable = lambda n: None,
) -> Tensor:
    """Latents (Q, K, T, D) on the CPU, K = sampler.num_samples for each caption row.

    Every sample has its own seed, of `seed`, its caption's row and its number: a caption's latents do not depend on
    the batch it is in. What stands for a text store says in `purpose` what its rows' noise is for.
    """
    num_samples, batches, purpose = sampler.num_samples, [], getattr(text, "purpose", "caption")
    size = max(1, sampler.batch_size // num_samples)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        captions = text.padded(np.repeat(part, num_samples))
        generators = [sample_generator(purpose, seed, row, k) for row in part for k in range(num_samples)]
        avoided = {}
        if steer is not None:
            states = (t[start : start + size].repeat_interleave(num_samples, 0) for t in (steer.text, steer.mask))
            avoided = {"negatives": [(tuple(states), steer.weight)], "form": steer.form}
        latents = model.generate(sampler, captions, generators, num_frames, **avoided)  # (B * K, T, D)
        batches.append(latents.unflatten(0, (len(part), num_samples)).cpu())
        progress(len(part))
    return torch.cat(batches)


def sample_generator(purpose: str, *numbers: int) -> torch.Generator:
    """A generator for one sample, on the CPU so that the same key (`seed_of`) draws the same noise on every device."""
    return torch.Generator().manual_seed(seed_of(purpose, *numbers))


def generated_queries(
    model,
    sampler,
    text: TextStore,
    rows: np.ndarray,
    num_frames: int,
    seeds: Sequence[int],
    to_queries: Callable[[Tensor], Tensor],
    steer: Steer | None = None,
    progress: Callable = lambda n: None,
) -> Tensor:
    """Queries (S, Q, ...) of S sampling seeds; `to_queries` pools latents (Q, K, T, D)."""
    make = partial(generated_latents, model, sampler, text, rows, num_frames, steer=steer, progress=progress)
    return torch.stack([to_queries(make(seed=seed)) for seed in seeds])


def projected_queries(model, text: TextStore, rows: np.ndarray) -> Tensor:
    """Queries (1, Q, P) of a model that projects captions instead of generating, as `ContrastiveHeads`."""
    parts = [rows[start : start + 1024] for start in range(0, len(rows), 1024)]
    with torch.inference_mode():
        return torch.cat([model.embed_text(*text.padded(part)).cpu() for part in parts]).unsqueeze(0)


def projected_index(model, audio: Store, task: RetrievalTask) -> Tensor:
    """The tracks (N, P) in the space of such a model."""
    with torch.inference_mode():
        return model.embed_audio(audio.means(track_rows(audio, task))).cpu()
