"""What moved between two lists: the plain one and the steered one."""

import torch
from torch import Tensor

from diffgar.search.hits import Hits


def ranks_among(index: Tensor, query: Tensor, positions: list[int], left_out: int | None = None) -> list[int]:
    """The ranks, from 1, that a query (D,) gives the tracks at some positions of an index (N, D).

    left_out: the position of a track that is not ranked, the one that is searched by.
    """
    cosines = index @ torch.nn.functional.normalize(query, dim=-1)  # (N,)
    if left_out is not None:
        cosines[left_out] = -torch.inf
    return [1 + int((cosines > cosines[position]).sum()) for position in positions]


def moves(plain: Hits, steered: Hits, index: Tensor, left_out: int | None = None) -> tuple[list[int], list[int | None]]:
    """Where each steered hit stood in the plain ranking, and where each plain hit stands in the steered list.

    The first are ranks among all tracks; the second are None for a hit that steering took out of the list.
    """
    before = ranks_among(index, plain.query, [hit.position for hit in steered], left_out)
    standing = {hit.position: hit.rank for hit in steered}
    return before, [standing.get(hit.position) for hit in plain]
