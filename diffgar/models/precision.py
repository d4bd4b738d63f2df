"""Mixed precision: when to train in it, and what must not be rounded by it."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor


def choose_precision(precision: str, accelerator: str) -> str:
    """What Lightning is to train in: for `auto` bf16-mixed on a GPU with bfloat16 of its own, else 32-true."""
    if precision != "auto":
        return precision
    on_gpu = torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda")
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def in_float32(loss: Callable) -> Callable:
    """The loss of two sets of vectors, in float32 also under autocast.

    In bfloat16 the cosines of tracks that are alike differ by less than their rounding.
    """

    @functools.wraps(loss)
    def run(queries: Tensor, index: Tensor, *arguments, **options) -> Tensor:
        with torch.autocast(queries.device.type, enabled=False):
            return loss(queries.float(), index.float(), *arguments, **options)

    return run


class ClipsGradients:
    """Clips as Lightning does, also under bf16-mixed with a fused optimizer.

    Lightning refuses that, because such an optimizer undoes a loss scaling by itself; under bf16 nothing is scaled.
    """

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        """Lightning calls this before each optimiser step."""
        if self.trainer.precision == "bf16-mixed" and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
