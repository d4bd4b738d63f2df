"""Training batches: what a data module hands to a model for one step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffgar.text_states import TextStates


@dataclass(frozen=True, eq=False)
class Batch:
    """Tracks, each with one of its captions.

    latents (B, T, D); mask (B, T) bool: True at valid frames; text: the captions (B); track (B,) int64: each sample's
    position in the audio store; step: the optimiser step that it is for. Lightning moves it by `to`.
    """

    latents: Tensor
    mask: Tensor
    text: TextStates
    track: Tensor
    step: int

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device; a copy to a GPU is asynchronous where the memory is pinned."""
        on_gpu = torch.device(device).type == "cuda"
        latents, mask, track = (x.to(device, non_blocking=on_gpu) for x in (self.latents, self.mask, self.track))
        return Batch(latents, mask, self.text.to(device, non_blocking=on_gpu), track, self.step)

    def pin_memory(self) -> "Batch":
        """The same batch in pinned memory, from which a GPU copies while it computes; a DataLoader calls this."""
        latents, mask, track = (tensor.pin_memory() for tensor in (self.latents, self.mask, self.track))
        return Batch(latents, mask, self.text.pin_memory(), track, self.step)


@dataclass(frozen=True, eq=False)
class ComposedBatch:
    """Composed requests, "this track, but …".

    source, target (B, D): the mean latents of the two tracks; text: the instructions (B); track (B,) int64: each
    target's position in the audio store; step: the optimiser step that it is for. Lightning moves it by `to`.
    """

    source: Tensor
    target: Tensor
    text: TextStates
    track: Tensor
    step: int

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device | str) -> "ComposedBatch":
        """The same batch on a device."""
        source, target, track = (each.to(device) for each in (self.source, self.target, self.track))
        return ComposedBatch(source, target, self.text.to(device), track, self.step)

    def pin_memory(self) -> "ComposedBatch":
        """The same batch in pinned memory; a DataLoader calls this."""
        source, target, track = (each.pin_memory() for each in (self.source, self.target, self.track))
        return ComposedBatch(source, target, self.text.pin_memory(), track, self.step)


@dataclass(frozen=True, eq=False)
class NegatedBatch(Batch):
    """A batch with each caption twice more: with a negation at its end that is true of its track, and one that is not.

    said, denied (B): these captions. values (B, A) int64: the number of each track's value of A attributes. absent
    (B, 2) int64: the attribute that `said` negates and its value, which the track lacks.
    """

    said: TextStates
    denied: TextStates
    values: Tensor
    absent: Tensor

    def to(self, device: torch.device | str) -> "NegatedBatch":
        """See `Batch.to`."""
        captions = (text.to(device) for text in (self.said, self.denied))
        return self._with(super().to(device), *captions, self.values.to(device), self.absent.to(device))

    def pin_memory(self) -> "NegatedBatch":
        """See `Batch.pin_memory`."""
        captions = (text.pin_memory() for text in (self.said, self.denied))
        return self._with(super().pin_memory(), *captions, self.values.pin_memory(), self.absent.pin_memory())

    @staticmethod
    def _with(batch: Batch, *parts: Any) -> "NegatedBatch":
        return NegatedBatch(batch.latents, batch.mask, batch.text, batch.track, batch.step, *parts)
