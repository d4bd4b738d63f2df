"""Batches of latents and captions for training, as a pure function of seed and step."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from diffgar.batch import Batch
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.dataloading.whole import whole_tracks
from diffgar.errors import InputError
from diffgar.values import one_of

FRAMES = ("crop", "whole")


@dataclass(frozen=True)
class BatchOptions:
    """What a batch holds, and how its tracks, captions and crops are chosen.

    num_frames: the frames of a sample. frames: `crop`, where they are consecutive frames of the track, from a random
    one on and at most num_frames; or `whole`, where they are always num_frames and stand for the whole track, see
    `whole_tracks`. batch_size: samples per step, of all processes together. weights: sampling weights of the datasets
    of a mix, see `track_weights`. repeat_short: fill crops of short tracks, see `repeated`. shuffle_captions: give each
    track the captions of another. A model trained so must retrieve at chance.
    Raises InputError for another word, and for whole tracks with repeat_short: no frames are left to fill.
    """

    num_frames: int
    batch_size: int
    seed: int = 0
    shuffle_captions: bool = False
    repeat_short: bool = False
    weights: Mapping[str, float] | None = None
    frames: str = "crop"

    def __post_init__(self) -> None:
        if one_of("datamodule.frames", self.frames, FRAMES) == "whole" and self.repeat_short:
            raise InputError(
                "datamodule.repeat_short fills the crops of short tracks, and datamodule.frames=whole stretches them; "
                "set datamodule.repeat_short=false"
            )


class LatentBatches(Dataset):
    """Item `step` is this process's part of the global batch of that optimiser step.

    Tracks, captions and crops depend on (seed, step, position in the global batch) alone: not on the number of
    processes, nor on where training was interrupted. An epoch is a permutation of the tracks, or with `weights` a
    sample with replacement. rank: (this process, number of processes).
    Raises StoreError for a split without captioned tracks, InputError where a batch does not divide among processes.
    """

    def __init__(
        self, audio: Store, text: TextStore, split: str, options: BatchOptions, rank: tuple[int, int] = (0, 1)
    ):
        self.audio, self.text, self.options = audio, text, options
        process, world_size = rank
        if options.batch_size % world_size:
            raise InputError(
                f"batch_size {options.batch_size} does not divide among {world_size} processes; change one"
            )
        size = options.batch_size // world_size
        self.mine = slice(process * size, (process + 1) * size)  # of the global batch
        self.tracks, self.captions = captioned_tracks(audio, text, split)
        if options.shuffle_captions:
            order = np.random.default_rng(options.seed).permutation(len(self.captions))
            self.captions = [self.captions[i] for i in order]
        self.weights = track_weights(audio, self.tracks, options.weights) if options.weights else None

    def __getitem__(self, step: int) -> Batch:
        tracks, captions, where = self._chosen(step)
        latents, mask = self._frames(tracks, where)
        return Batch(latents, mask, self.text.padded(captions), torch.from_numpy(tracks), step)

    def _chosen(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """This process's tracks (B,) of a step, a caption (B,) of each, and the place (B,) of its crop, from 0 to 1."""
        picks = self._picks(step)[self.mine]
        random = np.random.default_rng([self.options.seed, 1, step])
        which, where = random.random((2, self.options.batch_size))[:, self.mine]  # caption and crop of each, 0 to 1
        captions = np.array(
            [self.captions[p][int(u * len(self.captions[p]))] for p, u in zip(picks, which, strict=True)]
        )
        return self.tracks[picks], captions, where

    def _frames(self, tracks: np.ndarray, where: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (B, T, D) of tracks and their mask (B, T); where (B,): the place of each crop, from 0 to 1."""
        num_frames = self.options.num_frames
        if self.options.frames == "whole":
            latents = whole_tracks(self.audio, tracks, num_frames)
            return latents, torch.ones(latents.shape[:2], dtype=torch.bool, device=latents.device)
        room = np.maximum(self.audio.lengths[tracks] - num_frames, 0)
        latents, mask = self.audio.gather(tracks, (where * (room + 1)).astype(np.int64), num_frames)
        return repeated(latents, mask) if self.options.repeat_short else (latents, mask)

    def _picks(self, step: int) -> np.ndarray:
        """Positions in `self.tracks` of the whole global batch of a step, (batch_size,)."""
        size, seed, num_tracks = self.options.batch_size, self.options.seed, len(self.tracks)
        if self.weights is not None:
            return np.random.default_rng([seed, 0, step]).choice(num_tracks, size=size, p=self.weights)
        epochs, positions = np.divmod(step * size + np.arange(size), num_tracks)
        picks = np.empty(size, dtype=np.int64)
        for epoch in np.unique(epochs):
            picks[epochs == epoch] = order_of(seed, int(epoch), num_tracks)[positions[epochs == epoch]]
        return picks


@functools.lru_cache(maxsize=4)  # a batch may reach into the next epoch; validation has its own
def order_of(seed: int, epoch: int, num_tracks: int) -> np.ndarray:
    """The order of an epoch's tracks: a permutation of their positions, (num_tracks,)."""
    return np.random.default_rng([seed, 0, epoch]).permutation(num_tracks)


def captioned_tracks(audio: Store, text: TextStore, split: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The audio rows (N,) of a split's tracks that have captions, and for each the text rows of its captions.

    Raises StoreError where there is no such track.
    """
    captions = text.rows[text.rows["split"] == split].groupby("track_id", sort=False).indices
    positions = text.rows_of(split)
    tracks = np.flatnonzero(audio.rows["split"] == split)
    ids = audio.rows["row_id"].to_numpy()
    tracks = np.array([t for t in tracks if ids[t] in captions], dtype=np.int64)
    if len(tracks) == 0:
        raise StoreError(
            f"{audio.folder}: no track of split {split!r} with a caption in {text.folder}; splits there are "
            f"{sorted(audio.rows['split'].unique())}; check the dataset's split and extract it again"
        )
    return tracks, [positions[captions[ids[t]]] for t in tracks]


def track_weights(audio: Store, tracks: np.ndarray, weights: Mapping[str, float]) -> np.ndarray:
    """The probability (N,) of each of `tracks`: those of a dataset share its weight, however many they are.

    With weights {"a": 1, "b": 3}, a quarter of all samples are tracks of "a". Raises StoreError unless there is one
    positive weight for each dataset that a mix's store holds.
    """
    rows = audio.rows
    datasets = rows["_dataset"] if "_dataset" in rows else rows["row_id"].map(lambda _: audio.card.dataset)
    there = set(datasets[rows["split"] != ""])  # without what the mix has no more
    if there != set(weights) or min(weights.values()) <= 0:
        raise StoreError(
            f"{audio.folder} holds the datasets {sorted(there)}, but data.weights is {dict(weights)}; give "
            "each of them a weight above 0 and no other, or extract the mix again"
        )
    own = datasets.iloc[tracks]
    shares = own.map(weights).to_numpy(dtype=float) / own.map(own.value_counts()).to_numpy()
    return shares / shares.sum()


def repeated(latents: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (B, T, D) whose valid frames are tiled to the full length, and a mask (B, T) of all frames.

    Frames [a, b, 0, 0, 0] of which two are valid become [a, b, a, b, a]. The published training does so with a short
    clip (the code of arXiv 2506.17886); it is here for the ablation.
    """
    frame = torch.arange(mask.shape[1], device=mask.device) % mask.sum(dim=1, keepdim=True)  # (B, T)
    return latents.gather(1, frame.unsqueeze(-1).expand_as(latents)), torch.ones_like(mask)
