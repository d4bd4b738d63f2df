"""Captions in other words: those that say what is not wanted, and what is heard in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.models.encoders.base import TextEncoder
from diffgar.negation import Negations, hear, say
from diffgar.text_states import TextStates


@dataclass(frozen=True, eq=False)
class Reworded:
    """Captions (P) in the place of those at these positions (P,) of a text store, and with the noise of those.

    states: theirs, rounded to half precision as in the store.
    """

    captions: Sequence[str]
    positions: np.ndarray
    states: TextStates
    purpose: ClassVar[str] = "caption"

    @classmethod
    def of(cls, captions: Sequence[str], positions: np.ndarray, text_encoder: TextEncoder) -> "Reworded":
        """The captions, encoded."""
        with torch.inference_mode():
            states = text_encoder.encode(list(captions))
        return cls(captions, positions, states.to(dtype=torch.float16))

    @property
    def embeddings(self) -> Tensor:
        """The captions' own embeddings (P, D). Raises InputError where the text encoder has none."""
        if self.states.embedding is None:
            raise InputError("this text encoder gives no embeddings; leave out the steering methods that need them")
        return self.states.embedding

    def padded(self, rows: np.ndarray) -> TextStates:
        """The captions at these positions of the text store, as the store gives its own."""
        place_of = {position: place for place, position in enumerate(self.positions.tolist())}
        return self.states.select(np.array([place_of[row] for row in rows.tolist()]))


@dataclass(frozen=True, eq=False)
class Saying:
    """How the captions (P) of pairs say what each suppresses, `values` (P), in words; encoded when first asked for.

    positions (P,): of the captions in the text store. negations: by default "without" and the value.
    """

    captions: Sequence[str]
    values: Sequence[tuple[str, str]]
    positions: np.ndarray
    text_encoder: TextEncoder
    negations: Negations | None = None

    @property
    def words(self) -> list[str]:
        """The captions with their negations: "A slow piece, without rock drums."."""
        negation = self.negations or without
        return [say(caption, negation(*value)) for caption, value in zip(self.captions, self.values, strict=True)]

    @cached_property
    def said(self) -> Reworded:
        """The captions with their negations, encoded."""
        return Reworded.of(self.words, self.positions, self.text_encoder)

    @cached_property
    def heard(self) -> tuple[Negatives, Reworded]:
        """What `hear` takes out of the captions with their negations: the negatives, and the captions that are left."""
        left, unwanted = zip(*map(hear, self.words), strict=True)
        negatives = Negatives.of([("heard", str(words)) for words in unwanted], None, self.text_encoder)
        return negatives, Reworded.of(left, self.positions, self.text_encoder)


def without(attribute: str, value: str) -> str:
    """The default negation of a value: "without rock"."""
    return f"without {value}"
