"""What captions are to be rid of, in words: every phrasing of an attribute's value, and what a value is for a pair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.queries import Steer
from diffgar.models.encoders.base import TextEncoder
from diffgar.text_states import TextStates

Phrasings = Callable[[str, str], list[str]]  # (attribute, value) → captions that say it, the plainest first


@dataclass(frozen=True)
class Negatives:
    """The phrasings of V values, M in all, and which value each of P pairs is to be rid of.

    captions, states: the phrasings (M). said (M,): the value that each says; asked (P,): what each pair avoids.
    """

    captions: list[str]
    states: TextStates
    said: Tensor
    asked: Tensor
    purpose: ClassVar[str] = "phrasing"  # what their noise is for, which is then no caption's

    @classmethod
    def of(
        cls, values: Sequence[tuple[str, str]], phrasings: Phrasings | None, text_encoder: TextEncoder
    ) -> "Negatives":
        """For each pair's (attribute, value); without phrasings a value is said as it is written."""
        distinct, say = list(dict.fromkeys(values)), phrasings or as_written
        pairs = [(place, caption) for place, value in enumerate(distinct) for caption in say(*value)]
        said, captions = zip(*pairs, strict=True)
        with torch.inference_mode():
            states = text_encoder.encode(list(captions))
        asked = torch.tensor([distinct.index(value) for value in values])
        return cls(list(captions), states, torch.tensor(said), asked)

    @property
    def rows(self) -> np.ndarray:
        """The phrasings as rows for `generated_queries`, which takes this in the place of a text store."""
        return np.arange(len(self.said))

    def padded(self, rows: np.ndarray) -> TextStates:
        return self.states.select(rows)

    def of_pairs(self, vectors: Tensor) -> Tensor:
        """Vectors (..., M, D) of the phrasings to a unit one for each pair, (..., P, D): the mean of its phrasings."""
        means = [vectors[..., self.said == value, :].mean(dim=-2) for value in range(int(self.said.max()) + 1)]
        return F.normalize(torch.stack(means, dim=-2), dim=-1)[..., self.asked, :]

    def plainest(self) -> Tensor:
        """The first phrasing of each pair's value, (P,)."""
        return torch.searchsorted(self.said, self.asked)

    def steer(self, weight: float, form: str) -> Steer:
        """Away from the plainest phrasing of each pair's value."""
        return Steer(self.states.select(self.plainest()), weight, form)


def as_written(attribute: str, value: str) -> list[str]:
    return [value]
