"""Batches of latents and captions for training, as a pure function of seed and step."""

import functools
import logging
from collections.abc import Mapping

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.data import DataLoader, Dataset, Sampler

from diffgar.dataloading.card import StoreError
from diffgar.dataloading.latents import Store, TextStore
from diffgar.errors import InputError

log = logging.getLogger(__name__)


class LatentBatches(Dataset):
    """Item `step` is this process's part of the global batch of that optimiser step.

    It is a dict of latents (B, T, D), their mask (B, T), text states (B, L, C), text_mask (B, L), track (B,), the
    audio store's rows, and step. Tracks, captions and crops depend on (seed, step, place in the global batch) alone:
    not on the number of processes, nor on where training was interrupted. An epoch is a permutation of the tracks, or
    with `weights`, of datasets (see `track_weights`), a sample with replacement. repeat_short: see `repeated`.
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

    def __getitem__(self, step: int) -> dict:
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
        text, text_mask = self.text.padded(captions)
        batch = {"latents": latents, "mask": mask, "text": text, "text_mask": text_mask}
        return batch | {"track": torch.from_numpy(tracks), "step": step}

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
    if set(datasets) != set(weights) or min(weights.values()) <= 0:
        raise StoreError(
            f"{audio.folder} holds the datasets {sorted(set(datasets))}, but data.weights is {dict(weights)}; give "
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


class StepSampler(Sampler):
    """Steps from the trainer's own to the last, so that a resumed run goes on where it stopped."""

    def __init__(self, datamodule: LightningDataModule, num_steps: int):
        self.datamodule, self.num_steps = datamodule, num_steps

    def __iter__(self):
        trainer = self.datamodule.trainer
        return iter(range(trainer.global_step * trainer.accumulate_grad_batches, self.num_steps))

    def __len__(self) -> int:
        return self.num_steps


class LatentDataModule(LightningDataModule):
    """Training batches by step, validation batches in order, from an audio store and a text store.

    num_frames: most frames of a crop; no more than the longest training track has, unless `repeat_short` fills them
    (see `repeated`). batch_size is the global one, divided among the processes. expect: what the cards of "audio" and
    "text" must say; remedy: what a message about a missing store tells to do. weights: of the datasets of a mix, see
    `track_weights`.
    """

    def __init__(
        self,
        audio_folder: str,
        text_folder: str,
        num_frames: int,
        batch_size: int,
        seed: int = 0,
        num_workers: int = 0,
        shuffle_captions: bool = False,
        repeat_short: bool = False,
        expect: dict[str, dict] | None = None,
        remedy: str = "run extract_dataset.py",
        weights: Mapping[str, float] | None = None,
    ):
        super().__init__()
        self.batch_size, self.seed, self.weights = batch_size, seed, weights
        self.num_workers, self.shuffle_captions, self.repeat_short = num_workers, shuffle_captions, repeat_short
        expect = expect or {}
        self.audio = Store(audio_folder, remedy).require(**expect.get("audio", {}))
        self.text = TextStore(text_folder, remedy).require(**expect.get("text", {}))
        self.num_frames = num_frames if repeat_short else self._at_most(num_frames)

    def _at_most(self, num_frames: int) -> int:
        """num_frames, or those of the longest training track: a model is asked for no more than it was trained on."""
        longest = int(self.audio.lengths[self.tracks("train")].max(initial=0))
        if not 0 < longest < num_frames:
            return num_frames
        rank_zero_only(log.warning)(
            "num_frames is %d, not %d: the longest training track of %s has no more",
            longest,
            num_frames,
            self.audio.folder,
        )
        return longest

    def tracks(self, split: str) -> np.ndarray:
        """The audio rows of a split whose tracks have captions; none where the dataset has no such split."""
        captioned = self.text.rows["track_id"][self.text.rows["split"] == split]
        rows = self.audio.rows
        return np.flatnonzero((rows["split"] == split) & rows["row_id"].isin(captioned))

    def constants(self) -> dict[str, torch.Tensor | int]:
        """What a model keeps of its training data: the latents' mean and std (D,), the empty caption's states (L, C).

        And num_frames, the most that it is ever asked for.

        A store without a train split has no statistics: it can be evaluated on, not trained on.
        """
        card = self.audio.card
        if card.mean is None:
            raise StoreError(
                f"{self.audio.folder}: no train split, so no mean and std to train with; split the dataset"
            )
        return {
            "latent_mean": torch.tensor(card.mean),
            "latent_std": torch.tensor(card.std),
            "null_text": torch.from_numpy(self.text.row(0).astype(np.float32)),
            "num_frames": self.num_frames,
        }

    def setup(self, stage: str) -> None:
        device = self.trainer.strategy.root_device
        self.audio.hold(device if self.num_workers == 0 else "cpu")
        self.text.hold(device if self.num_workers == 0 else "cpu")

    def batches(self, split: str, shuffle_captions: bool = False) -> LatentBatches:
        world_size = self.trainer.world_size
        if self.batch_size % world_size:
            raise InputError(f"batch_size {self.batch_size} does not divide among {world_size} processes; change one")
        size, rank = self.batch_size // world_size, (self.trainer.global_rank, world_size)
        return LatentBatches(
            self.audio,
            self.text,
            split,
            self.num_frames,
            size,
            self.seed,
            rank,
            shuffle_captions,
            self.repeat_short,
            self.weights,
        )

    def train_dataloader(self) -> DataLoader:
        batches = self.batches("train", self.shuffle_captions)
        sampler = StepSampler(self, self.trainer.max_steps * self.trainer.accumulate_grad_batches)
        return self._loader(batches, sampler)

    def val_dataloader(self) -> DataLoader | list:
        """One pass over the validation tracks; nothing where none of them has latents and a caption."""
        if len(self.tracks("validation")) == 0:
            return []
        batches = self.batches("validation")
        return self._loader(batches, range(-(-len(batches.tracks) // self.batch_size)))

    def _loader(self, batches: LatentBatches, steps) -> DataLoader:
        workers = {"num_workers": self.num_workers, "persistent_workers": True} if self.num_workers else {}
        on_gpu = any(isinstance(store.frames, torch.Tensor) for store in (self.audio, self.text))
        pin = torch.cuda.is_available() and not on_gpu  # what is there cannot be pinned
        return DataLoader(batches, batch_size=None, sampler=steps, pin_memory=pin, **workers)
