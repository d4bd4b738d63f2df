"""The data module: the stores that a model is trained on, opened, checked and handed out batch by batch."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.data import DataLoader, Dataset, Sampler

from diffgar.dataloading.batches import BatchOptions, LatentBatches
from diffgar.dataloading.negated import NegatedBatches
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.moments import NOTHING_ELSE, common_mean
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore

log = logging.getLogger(__name__)
SPLITS = ("train", "validation")


def trainer_of(datamodule: LightningDataModule) -> Trainer:
    """The trainer that a data module serves; RuntimeError where it serves none yet."""
    if datamodule.trainer is None:
        raise RuntimeError("this data module has no trainer yet; hand it to Trainer.fit")
    return datamodule.trainer


class StepSampler(Sampler):
    """Steps from the trainer's own to the last, so that a resumed run starts where it stopped."""

    def __init__(self, datamodule: LightningDataModule, num_steps: int):
        self.datamodule, self.num_steps = datamodule, num_steps

    def __iter__(self) -> Iterator[int]:
        trainer = trainer_of(self.datamodule)
        return iter(range(trainer.global_step * trainer.accumulate_grad_batches, self.num_steps))

    def __len__(self) -> int:
        return self.num_steps


class LatentDataModule(LightningDataModule):
    """Training batches by step, validation batches in order, from an audio store and a text store.

    options: num_frames, batch_size, seed and more, see `BatchOptions`. A crop has at most the frames of the longest
    training track; where `repeat_short` fills the crops, or tracks are taken whole, all samples have num_frames.
    expect: what the cards of "audio" and "text" must say, such as {"audio": {"dim": 512}}. remedy: what the message
    about a missing store advises. memory: where the latents are held, see `Store.hold`. negated: the attributes, the
    negations and the text encoder of `NegatedBatches`, where training is to have these.
    Raises StoreError for a store that is missing, damaged or another encoder's.
    """

    def __init__(
        self,
        audio_folder: str,
        text_folder: str,
        num_workers: int = 0,
        memory: str = "auto",
        expect: dict[str, dict] | None = None,
        remedy: str = "run extract_dataset.py",
        negated: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        super().__init__()
        self.num_workers, self.memory, self.negated, expect = num_workers, memory, negated, expect or {}
        self.audio = Store(audio_folder, remedy).require(**expect.get("audio", {}))
        self.text = TextStore(text_folder, remedy).require(**expect.get("text", {}))
        self.options = BatchOptions(**options)
        if self._short_crops:
            self.options = replace(self.options, num_frames=self._at_most(self.num_frames))

    @property
    def _short_crops(self) -> bool:
        """Whether a track of fewer frames than num_frames makes a shorter sample."""
        return self.options.frames == "crop" and not self.options.repeat_short

    @property
    def num_frames(self) -> int:
        """The most frames of a sample, and so the most that a model trained on them is ever asked for."""
        return self.options.num_frames

    @property
    def seed(self) -> int:
        """The seed of the batches; the module's dropout is seeded with it too."""
        return self.options.seed

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

    def keep_frames(self, num_frames: int) -> None:
        """Crop to as many frames as a resumed training began with, even if the store has longer tracks now.

        Whole tracks have as many as the config says, whatever the store has: there is nothing to keep.
        """
        if self._short_crops and num_frames < self.num_frames:
            rank_zero_only(log.warning)(
                "num_frames stays %d, with which the training began, though the longest track has more now", num_frames
            )
            self.options = replace(self.options, num_frames=num_frames)

    def tracks(self, split: str) -> np.ndarray:
        """The audio rows of a split whose tracks have captions; none where the dataset has no such split."""
        captioned = self.text.rows["track_id"][self.text.rows["split"] == split]
        rows = self.audio.rows
        return np.flatnonzero((rows["split"] == split) & rows["row_id"].isin(captioned))

    def constants(self) -> dict[str, torch.Tensor | int]:
        """What a model keeps of its training data: latent_mean and latent_std (D,), null_text (L, C) and num_frames.

        null_text has the token states of the empty caption. Raises StoreError for a store without a train split, which
        has no statistics, and for latents that are all the same.
        """
        card = self.audio.card
        if card.mean is None:
            raise StoreError(
                f"{self.audio.folder}: no train split, so no mean and std to train with; split the dataset"
            )
        if common_mean(card.mean, card.std) > NOTHING_ELSE:
            raise StoreError(
                f"{self.audio.folder}: the latents of all training tracks are the same, so that there is nothing to "
                "learn; compute them again, and extract again"
            )
        return {
            "latent_mean": torch.tensor(card.mean),
            "latent_std": torch.tensor(card.std),
            "null_text": torch.from_numpy(self.text.row(0).astype(np.float32)),
            "num_frames": self.num_frames,
        }

    def setup(self, stage: str) -> None:
        """Hold the frames of the splits that training needs where `memory` says."""
        trainer = trainer_of(self)
        device = trainer.strategy.root_device if self.num_workers == 0 else "cpu"
        for store in (self.audio, self.text):
            needed = store.rows["split"].isin(SPLITS).to_numpy(copy=True)
            needed[0] |= store is self.text  # the empty caption
            store.hold(device, self.memory, trainer.num_devices, np.flatnonzero(needed))

    def batches(self, split: str) -> LatentBatches:
        """This process's part of a split's batches; captions are shuffled in training alone."""
        trainer = trainer_of(self)
        shuffled = self.options.shuffle_captions and split == "train"
        options = replace(self.options, shuffle_captions=shuffled)
        rank = (trainer.global_rank, trainer.world_size)
        if self.negated is not None and split == "train":
            return NegatedBatches((self.audio, self.text), split, options, rank, **self.negated)
        return LatentBatches(self.audio, self.text, split, options, rank)

    def train_dataloader(self) -> DataLoader:
        """Batches from the trainer's own step to the last."""
        trainer = trainer_of(self)
        sampler = StepSampler(self, trainer.max_steps * trainer.accumulate_grad_batches)
        return self._loader(self.batches("train"), sampler)

    def val_dataloader(self) -> DataLoader | list:
        """One pass over the validation tracks; nothing where none of them has latents and a caption."""
        if len(self.tracks("validation")) == 0:
            return []
        batches = self.batches("validation")
        return self._loader(batches, range(-(-len(batches.tracks) // self.options.batch_size)))

    def _loader(self, batches: Dataset, steps: Iterable[int]) -> DataLoader:
        on_gpu = any(isinstance(store.frames, torch.Tensor) for store in (self.audio, self.text))
        pin = torch.cuda.is_available() and not on_gpu  # what is there cannot be pinned
        return DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            pin_memory=pin,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )
