"""What pretrained encoders share: they never train, and their front end keeps full precision."""

from contextlib import AbstractContextManager, nullcontext
from typing import Self

import torch
from torch import Tensor, nn

from diffgar.models.encoders.base import AudioEncoder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Frozen(nn.Module):
    """A module that stays in evaluation mode, even after `train`, and needs no gradients."""

    dtype: torch.dtype | None = None

    def freeze(self, network: nn.Module, dtype: str | None, compile: bool) -> None:
        """Freeze this module; the last call of a constructor. Raises ValueError for an unknown dtype.

        dtype: the network's precision, "float32", "bfloat16" or "float16"; None for that of the caller's autocast.
        compile: whether torch.compile is used for the network, which takes a minute once and pays over hours of audio.
        """
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
        self.dtype = None if dtype is None else DTYPES[dtype]
        self.requires_grad_(False).eval()
        if compile:
            network.compile()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the mode is."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def precision(self) -> AbstractContextManager[object]:
        """The context in which the network runs."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def full_precision(self) -> AbstractContextManager[object]:
        """The context in which a front end runs: the logarithm of a power in half precision would be noise."""
        return torch.autocast(self.device.type, enabled=False)


class FrozenAudioEncoder(Frozen, AudioEncoder):
    """A pretrained audio encoder."""

    def waveforms(self, windows: Tensor) -> Tensor:
        """Windows (N, W) as float32 on this device; raises ValueError unless W is `window_seconds`."""
        width = round(self.window_seconds * self.sample_rate)
        if windows.ndim != 2 or windows.shape[1] != width:
            raise ValueError(
                f"{self.name} takes windows (N, {width}), {self.window_seconds} s at {self.sample_rate} Hz; "
                f"got {tuple(windows.shape)}"
            )
        return windows.to(self.device, torch.float32)
