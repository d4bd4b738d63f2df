"""Phrasings of the attribute values to suppress, encoded once, and the vectors that they give each pair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.queries import Steer
from diffgar.models.encoders.base import TextEncoder
from diffgar.text_states import TextStates

Phrasings = Callable[[str, str], list[str]]  # (attribute, value) → captions that say it, the plainest first


@dataclass(frozen=True, eq=False)
class Negatives:
    """The M phrasings of V distinct values, and which value each of P pairs suppresses.

    captions, states: the phrasings (M). value_of_phrasing (M,), in ascending order, and value_of_pair (P,): numbers of
    values, from 0. The pairs ("x", "1"), ("y", "2"), ("x", "1") have value_of_pair [0, 1, 0].
    """

    captions: list[str]
    states: TextStates
    value_of_phrasing: Tensor
    value_of_pair: Tensor
    purpose: ClassVar[str] = "phrasing"  # what their noise is for: no caption has the same

    @classmethod
    def of(
        cls, values: Sequence[tuple[str, str]], phrasings: Phrasings | None, text_encoder: TextEncoder
    ) -> "Negatives":
        """The negatives of P pairs; values: the (attribute, value) of each. By default a value is its only phrasing."""
        distinct, say = list(dict.fromkeys(values)), phrasings or as_written
        pairs = [(number, caption) for number, value in enumerate(distinct) for caption in say(*value)]
        value_of_phrasing, captions = zip(*pairs, strict=True)
        with torch.inference_mode():
            states = text_encoder.encode(list(captions))
        value_of_pair = torch.tensor([distinct.index(value) for value in values])
        return cls(list(captions), states, torch.tensor(value_of_phrasing), value_of_pair)

    @property
    def positions(self) -> np.ndarray:
        """All phrasings (M,), for `generated_queries`, which takes this object instead of a text store."""
        return np.arange(len(self.captions))

    @property
    def embeddings(self) -> Tensor:
        """The embedding of each pair's value, (P, D). Raises InputError where the text encoder has none."""
        if self.states.embedding is None:
            raise InputError("this text encoder gives no embeddings; leave out the steering methods that need them")
        return self.of_pairs(self.states.embedding)

    def padded(self, rows: np.ndarray) -> TextStates:
        """Token states (M', L, C) and mask (M', L) of some phrasings, as a text store gives those of captions."""
        return self.states.select(rows)

    def of_pairs(self, vectors: Tensor) -> Tensor:
        """One unit vector per pair (..., P, D), the mean over its phrasings.

        vectors (..., M, D): one per phrasing.
        """
        value_of = self.value_of_phrasing  # (M,)
        means = [vectors[..., value_of == value, :].mean(dim=-2) for value in range(int(value_of.max()) + 1)]
        return F.normalize(torch.stack(means, dim=-2), dim=-1)[..., self.value_of_pair, :]

    def first(self) -> Tensor:
        """The first phrasing of each pair's value, (P,): the plainest."""
        return torch.searchsorted(self.value_of_phrasing, self.value_of_pair)

    def steer(self, weight: float, form: str) -> Steer:
        """Guidance away from the first phrasing of each pair's value."""
        return Steer([(self.states.select(self.first()), weight)], form)


def as_written(attribute: str, value: str) -> list[str]:
    """The default phrasing: the value itself."""
    return [value]
