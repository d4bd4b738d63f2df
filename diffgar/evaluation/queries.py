"""The task, the index and the queries that an evaluator takes, from stores and a model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.dataloading.datasets.columns import keep
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.evaluation.models import CaptionSource, LatentGenerator
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.evaluation.twins import twin_positions
from diffgar.models.diffusion.guidance import Negative
from diffgar.models.diffusion.noise_keys import seed_of
from diffgar.models.diffusion.sampling import Sampler

ToQueries = Callable[[Tensor], Tensor]  # latents (q, K, T, D) → queries (q, ...)
Progress = Callable[[int], object]  # called with the number of captions that are finished since the last call


def no_progress(done: int) -> None:
    """Shows nothing."""


def task_of(
    name: str,
    audio: Store,
    text: TextStore,
    split: str,
    protocol: str = "unique_tracks",
    where: dict | None = None,
    allow_missing: bool = False,
    twins: str | None = None,
) -> RetrievalTask:
    """The task that two stores hold: the pool is the audio store's tracks of the split, with or without captions.

    where: {column: value, or list of values} keeps the tracks and the captions whose cells have these, by the rule of a
    dataset's `where`. A column of captions alone also takes out the tracks that it leaves without a caption. Tracks
    with captions and no latents (their audio was missing or broken) are refused unless allowed. twins: the column of
    tracks with the track_id of each one's twin, see `twin_positions`.
    """
    tracks = audio.rows[audio.rows["split"] == split]
    tracks = tracks.assign(track_id=tracks["row_id"])
    captions = text.rows[text.rows["split"] == split]
    if tracks.empty and captions.empty:
        there = ", ".join(sorted({*audio.rows["split"], *text.rows["split"]} - {""}))
        raise InputError(f"task {name}: no track is in split {split!r}; there are {there}; choose one by task.split")
    _refuse_other_splits(name, audio, text, captions)
    try:
        for column, value in (where or {}).items():
            tracks, captions = _kept(tracks, captions, column, value)
    except InputError as error:
        raise InputError(f"task {name}, split {split}: {error}") from error
    missing = ~captions["track_id"].isin(audio.rows["row_id"])  # no latents
    gone = captions.loc[missing, ["track_id", "split"]].drop_duplicates("track_id")
    captions = captions[missing | captions["track_id"].isin(tracks["track_id"])]
    every = pd.concat([tracks[["track_id", "split"]], gone])
    task = RetrievalTask.from_tables(name, every, captions, split=split, protocol=protocol)
    task = task.with_tracks(set(audio.rows["row_id"]), allow_missing)
    return task if twins is None else replace(task, twins=twin_positions(name, task.track_ids, tracks, twins))


def _kept(
    tracks: pd.DataFrame, captions: pd.DataFrame, column: str, value: object
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tracks and captions whose cells in a column have the value, or one of the values."""
    if column not in tracks and column not in captions:
        there = ", ".join(sorted({*tracks, *captions}))
        raise InputError(f"no column {column!r}; there are {there}; correct task.where")
    kept = keep(captions, {column: value}) if column in captions else captions
    if column in tracks:
        return keep(tracks, {column: value}), kept
    dropped = set(captions["track_id"]) - set(kept["track_id"])
    return tracks[~tracks["track_id"].isin(dropped)], kept


def _refuse_other_splits(name: str, audio: Store, text: TextStore, captions: pd.DataFrame) -> None:
    """Raises StoreError where a caption's track is in another split: the stores are of two versions of the dataset."""
    split_of = dict(zip(audio.rows["row_id"], audio.rows["split"], strict=True))
    for track, split in zip(captions["track_id"], captions["split"], strict=True):
        if split_of.get(track, split) != split:
            raise StoreError(
                f"task {name}: track {track!r} is in split {split_of[track]!r} in {audio.folder} and in {split!r} in "
                f"{text.folder}; run extract_dataset.py again, so that both stores have one split"
            )


def track_positions(audio: Store, task: RetrievalTask) -> np.ndarray:
    """Where the task's tracks stand in the audio store, (N,)."""
    position_of = {row_id: position for position, row_id in enumerate(audio.rows["row_id"])}
    return np.array([position_of[track] for track in task.track_ids])


def caption_positions(text: TextStore, task: RetrievalTask) -> np.ndarray:
    """Where the task's captions stand in the text store, (Q,)."""
    position_of = {row_id: position for position, row_id in enumerate(text.rows["row_id"])}
    return np.array([position_of[caption] for caption in task.captions["caption_id"]])


@dataclass(frozen=True)
class Steer:
    """What to avoid, each negative with a caption for each query (Q) and its weight, and in which form."""

    negatives: Sequence[Negative]
    form: str = "compose"


def generated_batches(
    model: LatentGenerator,
    sampler: Sampler,
    text: CaptionSource,
    positions: np.ndarray,
    seed: int,
    steer: Steer | None = None,
    progress: Progress = no_progress,
) -> Iterator[Tensor]:
    """Latents (q, K, T, D) on the CPU of captions (Q,) of `text`, a batch after the other; K = sampler.num_samples.

    Every sample has a seed of its own, made of `seed`, its caption's position and its number, so a caption's latents do
    not depend on the batch it is in.
    """
    num_samples = sampler.num_samples
    size = max(1, sampler.batch_size // num_samples)
    for start in range(0, len(positions), size):
        part = positions[start : start + size]
        captions = text.padded(np.repeat(part, num_samples))
        generators = [
            sample_generator(text.purpose, seed, position, k) for position in part for k in range(num_samples)
        ]
        avoided: dict[str, Any] = {}
        if steer is not None:
            chosen = np.repeat(np.arange(start, start + len(part)), num_samples)
            negatives = [(negative.select(chosen), weight) for negative, weight in steer.negatives]
            avoided = {"negatives": negatives, "form": steer.form}
        latents = model.generate(sampler, captions, generators, model.num_frames, **avoided)  # (q * K, T, D)
        yield latents.unflatten(0, (len(part), num_samples)).cpu()
        progress(len(part))


def generated_latents(
    model: LatentGenerator,
    sampler: Sampler,
    text: CaptionSource,
    positions: np.ndarray,
    seed: int,
    progress: Progress = no_progress,
) -> Tensor:
    """Latents (Q, K, T, D) of all captions at once, 131 kB per sample at 64 frames of 512 dimensions."""
    return torch.cat([*generated_batches(model, sampler, text, positions, seed, progress=progress)])


def sample_generator(purpose: str, *numbers: int) -> torch.Generator:
    """A generator for one sample, on the CPU so that the same key (`seed_of`) draws the same noise on every device."""
    return torch.Generator().manual_seed(seed_of(purpose, *numbers))


def generated_queries(
    model: LatentGenerator,
    sampler: Sampler,
    text: CaptionSource,
    positions: np.ndarray,
    seeds: Sequence[int],
    poolings: Sequence[ToQueries],
    steer: Steer | None = None,
    progress: Progress = no_progress,
) -> list[Tensor]:
    """Queries (S, Q, ...) of S sampling seeds by each pooling of the same latents (q, K, T, D).

    Each batch is pooled as it is sampled, and its latents are dropped: what is held are the queries.
    """
    queries: list[Tensor] = []
    for number, seed in enumerate(seeds):
        done = 0
        for latents in generated_batches(model, sampler, text, positions, seed, steer, progress):
            pooled = [to_queries(latents) for to_queries in poolings]
            queries = queries or [each.new_empty(len(seeds), len(positions), *each.shape[1:]) for each in pooled]
            for whole, part in zip(queries, pooled, strict=True):
                whole[number, done : done + len(part)] = part
            done += len(latents)
    return queries
