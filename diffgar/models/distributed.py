"""Training one model in several processes, each with its part of the global batch, or in a single process."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process, from 0, and how many processes there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def gather_rows(rows: Tensor) -> Tensor:
    """Rows (B, ...) of this process to the rows (G, ...) of all processes, its own first; B is the same in each.

    The gradient of a row goes back to the process it came from, summed over processes. So if each process takes the
    mean of its own rows' losses, and gradients are averaged over processes as DDP does, the result is the gradient of
    the mean over all rows.
    """
    rank, world_size = rank_and_world_size()
    if world_size == 1:
        return rows
    gathered: Tensor = Gather.apply(rows)  # type: ignore[no-untyped-call]  # torch leaves `apply` without types
    return gathered.roll(-rank * len(rows), dims=0)


def summed(rows: Tensor) -> Tensor:
    """The sum over processes of tensors of one shape. Where all but one have zeros, it is that one's to the last digit.

    Without a gradient; on the device that the processes talk through, such as the GPU of each.
    """
    total = rows.clone()
    dist.all_reduce(total)
    return total


class Gather(torch.autograd.Function):
    """Rows (B, ...) of each process to the rows (G, ...) of all, in the order of the processes' numbers."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        """The rows of all processes, (G, ...)."""
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        """The gradient of this process's rows, summed over processes."""
        rank, world_size = rank_and_world_size()
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world_size)[rank]
