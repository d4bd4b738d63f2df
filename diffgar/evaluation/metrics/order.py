"""Order right: whether a caption's own track is nearer than its twin, which differs in the order of time alone."""

import torch
from torch import Tensor

from diffgar.evaluation.metrics.ranks import Adjust, Index, similarities

ORDER_RIGHT = "order_right"
CHANCE_OF_ORDER = 50.0  # per cent


def order_right(
    queries: Tensor, index: Index, own: Tensor, twins: Tensor, chunk: int | None = None, adjust: Adjust | None = None
) -> Tensor:
    """Per cent (Q,): 100 where a query's own track is more similar than its twin, 50 where both are level, else 0.

    own, twins (Q,): the rows of the index. Both similarities are read from one product, so that equal tracks tie.
    """
    values = torch.empty(len(queries), dtype=torch.float64)
    for start, scores in similarities(queries, index, chunk, adjust):
        part = slice(start, start + len(scores))
        first, second = (scores.gather(1, rows[part, None].to(scores.device)) for rows in (own, twins))  # (q, 1)
        values[part] = (50 * (1 + (first - second).sign())).flatten().double().cpu()
    return values
