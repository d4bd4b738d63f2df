"""What pretrained encoders share: they never train, and their front end keeps full precision."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Frozen(nn.Module):
    """A module that stays in evaluation mode, whatever `train` asks, and needs no gradients."""

    dtype: torch.dtype | None = None

    def freeze(self, network: nn.Module, dtype: str | None, compile: bool) -> None:
        """Last in a constructor. dtype: the network's precision, None for the caller's autocast; compile: torch.compile
        of the network alone, which costs a minute once and pays over hours of audio."""
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
        self.dtype = DTYPES.get(dtype)
        self.requires_grad_(False).eval()
        if compile:
            network.compile()

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def precision(self):
        """The context that the network runs in."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def full_precision(self):
        """The context of a front end: a logarithm of half-precision power would be noise."""
        return torch.autocast(self.device.type, enabled=False)

    def waveforms(self, windows: Tensor) -> Tensor:
        """Windows (N, W) as float32 on this device; raises ValueError unless W is `window_seconds`."""
        width = round(self.window_seconds * self.sample_rate)
        if windows.ndim != 2 or windows.shape[1] != width:
            raise ValueError(
                f"{self.name} takes windows (N, {width}), {self.window_seconds} s at {self.sample_rate} Hz; "
                f"got {tuple(windows.shape)}"
            )
        return windows.to(self.device, torch.float32)
