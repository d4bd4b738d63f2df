"""Mixed precision: when training uses it, and losses that are computed in float32 all the same."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor

Options = ParamSpec("Options")
ContrastiveLoss = Callable[Concatenate[Tensor, Tensor, Options], Tensor]


def choose_precision(precision: str, accelerator: str) -> str:
    """Lightning's name of a precision; `auto` is bf16-mixed on a GPU that computes bfloat16, and 32-true elsewhere."""
    if precision != "auto":
        return precision
    on_gpu = torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda")
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def in_float32(loss: ContrastiveLoss[Options]) -> ContrastiveLoss[Options]:
    """A loss of two sets of vectors, computed in float32 also under autocast.

    In bfloat16 the cosines of similar tracks differ by less than their rounding.
    """

    @functools.wraps(loss)
    def run(queries: Tensor, index: Tensor, /, *arguments: Options.args, **options: Options.kwargs) -> Tensor:
        with torch.autocast(queries.device.type, enabled=False):
            return loss(queries.float(), index.float(), *arguments, **options)

    return run
