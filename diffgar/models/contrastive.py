"""Contrastive losses between paired unit vectors, among all pairs of the global batch.

queries, index (B, D): row i of one is the partner of row i of the other. gather: from the rows (B, ...) of this process
to those of all processes (G, ...), its own first, as `distributed.gather_rows` does. groups (B,) int64, or None: rows
of the same group, such as two captions of one track, are not each other's negatives.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.models.precision import in_float32

Gather = Callable[[Tensor], Tensor]


def alone(rows: Tensor) -> Tensor:
    """The rows themselves: a `gather` for one process that has the whole batch."""
    return rows


def same_group(groups: Tensor, gather: Gather) -> Tensor:
    """Whether a row (B) and another of all rows (G) have the same group, (B, G) bool; False for a row and itself."""
    return (groups.unsqueeze(1) == gather(groups)).fill_diagonal_(False)


@in_float32
def nt_xent(
    queries: Tensor,
    index: Tensor,
    temperature: float | Tensor = 0.1,
    gather: Gather = alone,
    groups: Tensor | None = None,
) -> Tensor:
    """NT-Xent (B,) of unit vectors (B, D): each is to find its partner among the 2G − 1 others of both kinds.

    Chen et al. 2020 (arXiv 2002.05709), eq. 1.
    """
    pairs = torch.stack([queries, index], dim=1)  # (B, 2, D)
    similarity = pairs.flatten(0, 1) @ gather(pairs).flatten(0, 1).T / temperature  # (2B, 2G)
    partner = torch.arange(len(similarity), device=pairs.device) ^ 1  # queries are even, the index odd
    similarity = similarity.fill_diagonal_(-torch.inf)
    if groups is not None:
        same = same_group(groups, gather).repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)  # (2B, 2G)
        similarity = similarity.masked_fill(same, -torch.inf)
    losses = F.cross_entropy(similarity, partner, reduction="none")
    return losses.unflatten(0, (-1, 2)).mean(dim=1)


@in_float32
def info_nce(
    queries: Tensor,
    index: Tensor,
    temperature: float | Tensor = 0.1,
    gather: Gather = alone,
    groups: Tensor | None = None,
) -> Tensor:
    """Symmetric InfoNCE (B,) of unit vectors (B, D): each is to find its partner among the G of the other kind.

    The loss of CLIP (Radford et al. 2021, arXiv 2103.00020, figure 3).
    """
    partner = torch.arange(len(queries), device=queries.device)
    similarities = [queries @ gather(index).T / temperature, index @ gather(queries).T / temperature]  # (B, G) each
    if groups is not None:
        same = same_group(groups, gather)
        similarities = [similarity.masked_fill(same, -torch.inf) for similarity in similarities]
    by_query, by_index = (F.cross_entropy(similarity, partner, reduction="none") for similarity in similarities)
    return (by_query + by_index) / 2


@in_float32
def against_reverse(
    queries: Tensor, index: Tensor, reversed_index: Tensor, temperature: float | Tensor = 0.1
) -> Tensor:
    """How badly queries tell their partners from the same in reverse, (B,): log(1 + exp((reverse − partner) / τ)).

    The logistic loss of the one hard negative that an unordered query cannot tell from its partner; log 2 at chance.
    """
    own, reverse = (queries * index).sum(dim=-1), (queries * reversed_index).sum(dim=-1)
    return F.softplus((reverse - own) / temperature)


@in_float32
def against_others(
    queries: Tensor, index: Tensor, others: Tensor, chosen: Tensor, temperature: float | Tensor = 0.1
) -> Tensor:
    """How badly queries tell their partners from some of the others, (B,): log(1 + Σ exp((other − partner) / τ)).

    others: unit vectors (G, D); chosen (B, G) bool: which of them count, none where it is 0.
    """
    own = (queries * index).sum(dim=-1, keepdim=True)
    gaps = ((queries @ others.T - own) / temperature).masked_fill(~chosen, -torch.inf)  # (B, G)
    return torch.cat([torch.zeros_like(own), gaps], dim=1).logsumexp(dim=1)
