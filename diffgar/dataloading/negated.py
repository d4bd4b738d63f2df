"""Batches whose captions also say what is not there: "a slow piece, without rock drums", made as they are drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from diffgar.batch import NegatedBatch
from diffgar.dataloading.batches import BatchOptions, LatentBatches
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.negation import Negations, say
from diffgar.text_states import CaptionEncoder, TextStates

Value = tuple[int, int]  # numbers of an attribute and of one of its values


class NegatedBatches(LatentBatches):
    """`LatentBatches` of which every caption also comes with a true and with a false negation.

    A negation is of an attribute that the caption does not name (column `named`), by the ground truth of `attributes`,
    columns of the tracks. Which one depends on (seed, step, position in the global batch) alone. Raises InputError
    where a column is not there.
    """

    def __init__(
        self,
        stores: tuple[Store, TextStore],
        split: str,
        options: BatchOptions,
        rank: tuple[int, int],
        attributes: Sequence[str],
        negations: Negations,
        text_encoder: CaptionEncoder,
    ):
        audio, text = stores
        super().__init__(audio, text, split, options, rank)
        absent = [name for name in attributes if name not in audio.rows]
        if absent or "named" not in text.rows:
            raise InputError(
                f"{audio.folder} and {text.folder} have no column {[*absent, 'named'][0]!r}; negated captions need the "
                "ground truth: give the columns in the dataset's table and extract again"
            )
        self.names, self.negations, self.text_encoder = list(attributes), negations, text_encoder
        columns = [audio.rows[name].astype("category") for name in self.names]
        self.words = [list(column.cat.categories) for column in columns]
        self.values = np.stack([column.cat.codes.to_numpy(dtype=np.int64) for column in columns], axis=1)  # (N, A)

    def __getitem__(self, step: int) -> NegatedBatch:
        batch, (tracks, captions, _) = super().__getitem__(step), self._chosen(step)
        numbers = np.random.default_rng([self.options.seed, 2, step]).random((self.options.batch_size, 3))[self.mine]
        drawn = [self._drawn(*each) for each in zip(tracks, captions, numbers, strict=True)]
        absent, there = ([each[side] for each in drawn] for side in (0, 1))
        said, denied = (self._encoded(captions, negated) for negated in (absent, there))
        own = torch.from_numpy(self.values[tracks])
        return NegatedBatch(**vars(batch), said=said, denied=denied, values=own, absent=torch.tensor(absent))

    def _drawn(self, track: int, caption: int, numbers: np.ndarray) -> tuple[Value, Value]:
        """A value that the track lacks and one that it has, of attributes that the caption does not name.

        numbers (3,): random, from 0 to 1: which attribute and value are absent, and which attribute is there.
        """
        named, own = str(self.text.rows["named"].iat[caption]).split("|"), self.values[track].tolist()
        free = [a for a, name in enumerate(self.names) if name not in named]
        lacking = [(a, others) for a in free if (others := self._others(a, own[a]))]
        having = [(a, own[a]) for a in free if self.words[a][own[a]] != "none"]
        if not lacking or not having:
            raise InputError(
                f"{self.text.rows['row_id'].iat[caption]}: the caption names {named}, and of the other attributes "
                "nothing can be negated; give datamodule.attributes more of them"
            )
        attribute, values = pick(lacking, numbers[0])
        return (attribute, pick(values, numbers[1])), pick(having, numbers[2])

    def _others(self, attribute: int, own: int) -> list[int]:
        """The values of an attribute but a track's own, and but "none"."""
        return [value for value, word in enumerate(self.words[attribute]) if value != own and word != "none"]

    def _encoded(self, captions: np.ndarray, negated: Sequence[Value]) -> TextStates:
        """Captions of the text store with these negations; their token states are as the store would have them."""
        words = [self.negations(self.names[a], self.words[a][value]) for a, value in negated]
        texts = [say(*pair) for pair in zip(self.text.rows["caption"].iloc[captions], words, strict=True)]
        with torch.no_grad():
            states = self.text_encoder.encode(texts)
        return TextStates(states.hidden_states.half(), states.mask)


def pick(options: Sequence[Any], number: float) -> Any:
    """The option that a number from 0 to 1 falls on."""
    return options[int(number * len(options))]
