"""Several processes that train one model, each with its part of the global batch. One process is the plain case."""

import torch
import torch.distributed as dist
from torch import Tensor


def place() -> tuple[int, int]:
    """This process's number, from 0, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def gather_rows(rows: Tensor) -> Tensor:
    """The rows (G, ...) of all processes, this one's (B, ...) first; every process brings B of them.

    Gradients go back to where a row came from, summed over processes. So where each process takes the mean of its own
    rows' losses, and gradients are then averaged over processes as DDP does, that is the gradient of the mean of all.
    """
    rank, world_size = place()
    return rows if world_size == 1 else Gather.apply(rows).roll(-rank * len(rows), dims=0)


class Gather(torch.autograd.Function):
    """Rows (B, ...) of each process to those of all (G, ...), in the order of their numbers."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        """The rows of all processes, (G, ...)."""
        parts = [torch.empty_like(rows) for _ in range(place()[1])]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """The gradient of this process's rows, summed over processes."""
        rank, world_size = place()
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world_size)[rank]
