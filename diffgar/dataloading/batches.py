"""Batches of latents and captions for training, as a pure function of seed and step."""

import functools
from collections.abc import Mapping

import numpy as np
import torch
from torch.utils.data import Dataset

from diffgar.batch import Batch
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store, TextStore


class LatentBatches(Dataset):
    """Item `step` is this process's part of the global batch of that optimiser step.

    Tracks, captions and crops depend on (seed, step, position in the global batch) alone: not on the number of
    processes, nor on where training was interrupted. An epoch is a permutation of the tracks, or with `weights`, of
    datasets (see `track_weights`), a sample with replacement. repeat_short: see `repeated`.
    """

    def __init__(
        self,
        audio: Store,
        text: TextStore,
        split: str,
        num_frames: int,
        batch_size: int,
        seed: int = 0,
        rank: tuple[int, int] = (0, 1),
        shuffle_captions: bool = False,
        repeat_short: bool = False,
        weights: Mapping[str, float] | None = None,
    ):
        self.audio, self.text, self.num_frames, self.batch_size = audio, text, num_frames, batch_size
        self.seed, self.repeat_short = seed, repeat_short
        self.rank, self.world_size = rank
        self.tracks, self.captions = captioned_tracks(audio, text, split)
        if shuffle_captions:  # an honesty check: a model trained so must retrieve at chance
            self.captions = [self.captions[i] for i in np.random.default_rng(seed).permutation(len(self.captions))]
        self.weights = track_weights(audio, self.tracks, weights) if weights else None

    def __getitem__(self, step: int) -> Batch:
        picks = self._picks(step)
        random = np.random.default_rng([self.seed, 1, step])
        which, where = random.random((2, self.batch_size * self.world_size))
        mine = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        picks, which, where = picks[mine], which[mine], where[mine]
        tracks = self.tracks[picks]
        captions = np.array(
            [self.captions[p][int(u * len(self.captions[p]))] for p, u in zip(picks, which, strict=True)]
        )
        room = np.maximum(self.audio.lengths[tracks] - self.num_frames, 0)
        latents, mask = self.audio.gather(tracks, (where * (room + 1)).astype(np.int64), self.num_frames)
        if self.repeat_short:
            latents, mask = repeated(latents, mask)
        return Batch(latents, mask, self.text.padded(captions), torch.from_numpy(tracks), step)

    def _picks(self, step: int) -> np.ndarray:
        """Places in `self.tracks` of the whole global batch of a step."""
        global_size, num_tracks = self.batch_size * self.world_size, len(self.tracks)
        if self.weights is not None:
            random = np.random.default_rng([self.seed, 0, step])
            return random.choice(num_tracks, size=global_size, p=self.weights)
        position = step * global_size + np.arange(global_size)
        epochs, places = position // num_tracks, position % num_tracks
        picks = np.empty(global_size, dtype=np.int64)
        for epoch in np.unique(epochs):
            picks[epochs == epoch] = order_of(self.seed, int(epoch), num_tracks)[places[epochs == epoch]]
        return picks


@functools.lru_cache(maxsize=4)  # a batch may reach into the next epoch; validation has its own
def order_of(seed: int, epoch: int, num_tracks: int) -> np.ndarray:
    """The order of an epoch's tracks, (num_tracks,)."""
    return np.random.default_rng([seed, 0, epoch]).permutation(num_tracks)


def captioned_tracks(audio: Store, text: TextStore, split: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The audio rows of a split that have captions, and for each the text rows of its captions."""
    captions = text.rows[text.rows["split"] == split].groupby("track_id", sort=False).indices
    places = text.rows_of(split)
    tracks = np.flatnonzero(audio.rows["split"] == split)
    ids = audio.rows["row_id"].to_numpy()
    tracks = np.array([t for t in tracks if ids[t] in captions], dtype=np.int64)
    if len(tracks) == 0:
        raise StoreError(
            f"{audio.folder}: no track of split {split!r} with a caption in {text.folder}; splits there are "
            f"{sorted(audio.rows['split'].unique())}; check the dataset's split and extract it again"
        )
    return tracks, [places[captions[ids[t]]] for t in tracks]


def track_weights(audio: Store, tracks: np.ndarray, weights: Mapping[str, float]) -> np.ndarray:
    """The probability (N,) of each of `tracks`: those of a dataset share its weight, however many they are.

    weights: one for each dataset of a mix's store. Raises StoreError where they name others than those it holds.
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
    """Latents (B, T, D) whose valid frames are said again and again to the end, and a mask of all frames.

    What the published training does with a short clip (the code of arXiv 2506.17886), for the ablation: with a mask a
    10 s clip is its one CLAP frame, not 64 times the same.
    """
    frame = torch.arange(mask.shape[1], device=mask.device) % mask.sum(dim=1, keepdim=True)  # (B, T)
    return latents.gather(1, frame.unsqueeze(-1).expand_as(latents)), torch.ones_like(mask)
