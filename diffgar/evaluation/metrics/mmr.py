"""Maximal marginal relevance: the first of a list, re-ranked so that they are near the query and unlike one another.

Carbonell & Goldstein 1998: from the list, choose again and again the item with the largest

    weight · cosine(item, query) − (1 − weight) · max cosine(item, any item that is chosen already)
"""

import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.metrics.alignment import AlignedIndex
from diffgar.evaluation.metrics.ranks import Index, Ranks, top_k, unit_rows

DEPTH = 100  # items of a list that are re-ranked; those behind stay where they are
CHUNK = 128  # queries at once: of each, the DEPTH² cosines between its items are held


def nearest(queries: Tensor, index: Index, k: int = 10, mmr: float | None = None) -> Tensor:
    """The rows (Q, k) of the index (N, D) that come first for each query (Q, D), or set of them (Q, M, D).

    mmr: the weight of the query in MMR, between 0 and 1; None for the plain list, which is that of 1.
    """
    if mmr is None:
        return top_k(queries, index, k)[1]
    scores, rows = top_k(queries, index, DEPTH)
    return rows.gather(1, mmr_order(scores, rows, index, mmr, k))


def mmr_order(scores: Tensor, rows: Tensor, index: Index, weight: float, k: int = DEPTH) -> Tensor:
    """The order that MMR gives to lists: the places (Q, min(k, L)), from 0, of the items that it chooses.

    scores, rows (Q, L): each query's list, best first, its cosines and its rows of the index (N, D). Of equally good
    items the first in the list is chosen. Raises InputError for aligned tracks, which have no vectors of their own.
    """
    if isinstance(index, AlignedIndex):
        raise InputError("retrieval.mmr compares tracks' vectors, and aligned tracks have none; use pooling=segments")
    unit_index = unit_rows(index, "index").cpu()
    parts = zip(scores.split(CHUNK), rows.split(CHUNK), strict=True)
    return torch.cat([_chosen(weight * part, (1 - weight) * _cosines(unit_index[own]), k) for part, own in parts])


def mmr_ranks(found: Ranks, queries: Tensor, index: Index, weight: float, chunk: int | None = None) -> Ranks:
    """The ranks of each query's one relevant item after MMR, from those before; other arguments as for `ranks`.

    An item among the first DEPTH has its place in the new order; one behind them keeps its rank. Items that were level
    with it stand for it: its bounds are the first and the last place that one of them has. Refuses (ValueError)
    queries with several relevant items.
    """
    if (found.num_relevant > 1).any():
        raise ValueError("MMR needs queries with one relevant item each; evaluate text → audio, or without MMR")
    order = mmr_order(*top_k(queries, index, DEPTH, chunk), index, weight)  # (Q, L)
    places = order.argsort(dim=1).double() + 1  # of each item of the old list, its rank in the new one
    old = torch.arange(1, places.shape[1] + 1)
    level = (old >= found.optimistic.unsqueeze(1)) & (old <= found.pessimistic.unsqueeze(1))  # (Q, L)
    first = places.masked_fill(~level, torch.inf).amin(dim=1)
    last = places.masked_fill(~level, 0).amax(dim=1)
    optimistic = torch.where(level.any(dim=1), first, found.optimistic)
    pessimistic = torch.where(found.pessimistic <= len(old), last, found.pessimistic)
    mid = (optimistic + pessimistic) / 2
    return Ranks(mid, optimistic, pessimistic, mid.unsqueeze(1), found.num_relevant)


def _cosines(vectors: Tensor) -> Tensor:
    """Between the unit vectors of each list, (Q, L, D) to (Q, L, L)."""
    return vectors @ vectors.mT


def _chosen(relevance: Tensor, likeness: Tensor, k: int) -> Tensor:
    """The places (Q, k) that are chosen, by relevance (Q, L) and likeness (Q, L, L), both weighted."""
    queries, closest = torch.arange(len(relevance)), torch.zeros_like(relevance)
    open_relevance, places = relevance.clone(), list[Tensor]()
    for _ in range(min(k, relevance.shape[1])):
        place = (open_relevance - closest).argmax(dim=1)  # (Q,)
        open_relevance[queries, place] = -torch.inf
        likeness_to_it = likeness[queries, place]  # (Q, L)
        closest = torch.maximum(closest, likeness_to_it) if places else likeness_to_it
        places.append(place)
    return torch.stack(places, dim=1)
