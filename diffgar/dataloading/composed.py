"""The data module of composed requests: sources, instructions and targets, batch by batch."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from diffgar.batch import ComposedBatch
from diffgar.dataloading.batches import order_of
from diffgar.dataloading.datamodule import LatentDataModule, StepSampler, trainer_of
from diffgar.dataloading.datasets.triples import Requests
from diffgar.errors import InputError
from diffgar.text_states import CaptionEncoder, TextStates, joined

BLOCK = 256  # instructions encoded at once


class ComposedDataModule(LatentDataModule):
    """Batches of composed requests; a track is represented by the mean of all its latents.

    requests: the store's tracks → a table of requests, see `triples.TRIPLE`. text_encoder: encodes the instructions,
    which are in no store, when training begins. parts: as for `LatentDataModule`.
    """

    def __init__(self, requests: Requests, text_encoder: CaptionEncoder, **parts: Any):
        super().__init__(**parts)
        self.requests, self.text_encoder = requests(self.audio.rows), text_encoder

    def composed(self, split: str) -> "ComposedBatches":
        """This process's part of a split's batches. Raises InputError where there is no request with both tracks."""
        ids = self.audio.rows["row_id"]
        position_of = dict(zip(ids, range(len(ids)), strict=True))
        table = self.requests[self.requests["split"] == split]
        ends = table[["source_clip_id", "target_clip_id"]].astype(str)
        table, ends = (each[ends.isin(position_of.keys()).all(axis=1)] for each in (table, ends))
        if table.empty:
            raise InputError(
                f"{self.audio.folder}: no composed request in split {split!r} has latents of its source and target; "
                "correct datamodule.requests, or extract the tracks"
            )
        positions = ends.map(position_of.__getitem__).to_numpy()  # (M, 2)
        with torch.inference_mode():
            texts = encoded(self.text_encoder, table)
        means = torch.zeros(len(ids), self.audio.card.dim)
        there = np.unique(positions)
        means[there] = self.audio.means(there)
        trainer = trainer_of(self)
        rank = (trainer.global_rank, trainer.world_size)
        return ComposedBatches(means, positions, texts, self.options.batch_size, self.seed, rank)

    def train_dataloader(self) -> DataLoader:
        """Batches from the trainer's own step to the last."""
        trainer = trainer_of(self)
        return self._loader(
            self.composed("train"), StepSampler(self, trainer.max_steps * trainer.accumulate_grad_batches)
        )

    def val_dataloader(self) -> DataLoader | list:
        """One pass over the validation requests; nothing where there are none."""
        if not (self.requests["split"] == "validation").any():
            return []
        batches = self.composed("validation")
        return self._loader(batches, range(-(-len(batches.positions) // self.options.batch_size)))


class ComposedBatches(Dataset):
    """Item `step` is this process's part of the global batch of that optimiser step, a function of (seed, step) alone.

    means (N, D): of the store's tracks. positions (M, 2): the source and the target of each request. texts (M): their
    instructions. rank: (this process, number of processes). An epoch is a permutation of the requests.
    """

    def __init__(
        self,
        means: torch.Tensor,
        positions: np.ndarray,
        texts: TextStates,
        batch_size: int,
        seed: int,
        rank: tuple[int, int] = (0, 1),
    ):
        process, world_size = rank
        if batch_size % world_size:
            raise InputError(f"batch_size {batch_size} does not divide among {world_size} processes; change one")
        self.means, self.positions, self.texts, self.batch_size, self.seed = means, positions, texts, batch_size, seed
        self.mine = slice(process * batch_size // world_size, (process + 1) * batch_size // world_size)

    def __getitem__(self, step: int) -> ComposedBatch:
        epochs, places = np.divmod(step * self.batch_size + np.arange(self.batch_size), len(self.positions))
        picks = np.array(
            [
                order_of(self.seed, int(epoch), len(self.positions))[place]
                for epoch, place in zip(epochs[self.mine], places[self.mine], strict=True)
            ]
        )
        source, target = torch.from_numpy(self.positions[picks]).T
        return ComposedBatch(self.means[source], self.means[target], self.texts.select(picks), target, step)


def encoded(encoder: CaptionEncoder, table: pd.DataFrame) -> TextStates:
    """The instructions of a table of requests, in half precision, padded to the longest; without embeddings."""
    words = [str(each) for each in table["primary_edit"]]
    blocks = [encoder.encode(words[start : start + BLOCK]) for start in range(0, len(words), BLOCK)]
    return joined([block.to("cpu", torch.float16) for block in blocks])
