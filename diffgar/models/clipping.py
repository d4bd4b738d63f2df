"""Gradient clipping for Lightning modules whose optimizer is fused."""

import torch
from pytorch_lightning import LightningModule
from torch.optim import Optimizer


class ClipsGradients(LightningModule):
    """A module whose gradients are clipped as Lightning does it, also under bf16-mixed with a fused optimizer.

    Lightning refuses that, because such an optimizer undoes a loss scaling by itself; under bf16 nothing is scaled.
    """

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning calls this before each optimiser step."""
        if self.trainer.precision == "bf16-mixed" and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
