"""Encoded captions: the one form in which text goes from an encoder, or a store, to a backbone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TextStates:
    """A batch of encoded captions.

    hidden_states (B, L, C): the token states that condition the diffusion model.
    mask (B, L) bool: True at tokens, False at padding. States from an encoder or a store are zero at padding.
    embedding (B, P) or None: the unit-norm caption vector, for text encoders that have one; in a joint pair it lies in
    the space of the audio.
    num_truncated: how many of the captions were longer than the encoder takes; only an encoder counts them.
    """

    hidden_states: Tensor
    mask: Tensor
    embedding: Tensor | None = None
    num_truncated: int = 0

    def __len__(self) -> int:
        return len(self.hidden_states)

    def select(self, rows: slice | np.ndarray | Tensor) -> "TextStates":
        """The captions of these rows: a slice, or indices (n,), which may repeat."""
        embedding = None if self.embedding is None else self.embedding[rows]
        return TextStates(self.hidden_states[rows], self.mask[rows], embedding)

    def padded_to(self, length: int) -> "TextStates":
        """The same captions, padded to `length` tokens; no fewer than they have."""
        more = length - self.mask.shape[1]
        hidden_states = F.pad(self.hidden_states, (0, 0, 0, more))  # (B, length, C)
        return TextStates(hidden_states, F.pad(self.mask, (0, more)), self.embedding, self.num_truncated)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None, non_blocking: bool = False
    ) -> "TextStates":
        """The same captions on a device, the token states in another dtype where one is given."""

        def moved(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
            return tensor.to(device, dtype or tensor.dtype, non_blocking)

        embedding = None if self.embedding is None else moved(self.embedding)
        return TextStates(moved(self.hidden_states, dtype), moved(self.mask), embedding, self.num_truncated)

    def pin_memory(self) -> "TextStates":
        """The same captions in pinned memory, from which a GPU copies while it computes; a DataLoader calls this."""
        embedding = None if self.embedding is None else self.embedding.pin_memory()
        return TextStates(self.hidden_states.pin_memory(), self.mask.pin_memory(), embedding, self.num_truncated)


class CaptionEncoder(Protocol):
    """What makes the token states of captions, as a `TextEncoder` does."""

    def encode(self, captions: list[str]) -> TextStates:
        """Captions (B) to their token states, padded to the longest."""


def joined(texts: Sequence[TextStates]) -> TextStates:
    """Several batches of captions as one (K · B, L, C), padded to the longest; without their embeddings."""
    length = max(text.mask.shape[1] for text in texts)
    padded = [text.padded_to(length) for text in texts]
    return TextStates(torch.cat([text.hidden_states for text in padded]), torch.cat([text.mask for text in padded]))
