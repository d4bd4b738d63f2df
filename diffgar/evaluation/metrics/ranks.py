"""Ranks and nearest items by cosine, chunk by chunk: full float32, constant memory, ties counted and not guessed.

Three traps shape this file. A query's own score is read from the same matrix product as all others: computed apart,
identical embeddings came out 45 % first and 45 % last. The product is padded to whole blocks: in its ragged edge a BLAS
sums in another order, and equal items stop being equal. And precision is held at float32, whatever the trainer set:
bfloat16 ties one query in six at 5,500 tracks.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from diffgar.evaluation.metrics.alignment import BLOCK, AlignedIndex

CHUNK_SCORES = 2**26  # scores held at once: 256 MB in float32
COUNT_WIDTH = 2048  # columns compared at once on a CPU: they stay in its cache, 5 times faster than whole rows
DEPTH = 10  # how many of a query's relevant items are ranked: mAP@10 needs no more

Adjust = Callable[[Tensor], Tensor]
Index = Tensor | AlignedIndex


@dataclass(frozen=True)
class Ranks:
    """Ranks from 1, float64 on the CPU.

    mid, optimistic, pessimistic (Q,): of each query's best relevant item; among its ties with items that are not
    relevant it stands in the middle, first or last, and `mid` is the mean of the two bounds. relevant (Q, R): mid-ranks
    of the query's best R ≤ 10 relevant items in order, inf where it has fewer. num_relevant (Q,): how many relevant
    items each query has, those beyond R among them.
    """

    mid: Tensor
    optimistic: Tensor
    pessimistic: Tensor
    relevant: Tensor
    num_relevant: Tensor


def ranks(
    queries: Tensor,
    index: Index,
    targets: Tensor | Sequence[Sequence[int]],
    chunk: int | None = None,
    adjust: Adjust | None = None,
) -> Ranks:
    """Rank the index (N, D) for every query by cosine, or by the best cut, and read off where relevant items stand.

    queries (Q, D), or (Q, M, D): a set of M vectors per query, scored by its best vector. targets: (Q,) long, the one
    relevant row of the index; (Q, N) bool; or a list of Q lists of rows. chunk: queries per step; by default as many as
    keep 2^26 scores. adjust: similarity (q, N) → scores (q, N). Refuses (ValueError) NaN, infinite and zero vectors,
    queries with no relevant item and rows outside the index.
    """
    relevant = relevant_rows(targets, len(queries), len(index))  # (Q, R), padded with -1
    bounds = torch.empty(2, len(queries), min(DEPTH, relevant.shape[1]), dtype=torch.float64)
    for start, similarity in similarities(queries, index, chunk, adjust):
        part = slice(start, start + len(similarity))
        bounds[:, part] = torch.stack(_bounds(similarity, relevant[part].to(similarity.device)))  # (2, q, R)
    return _between(bounds, relevant)


def ranks_of_scores(scores: Tensor, targets: Tensor | Sequence[Sequence[int]]) -> Ranks:
    """As `ranks`, from scores (Q, N) at hand, larger being better. A target with a score of -inf has rank inf."""
    relevant = relevant_rows(targets, *scores.shape)  # (Q, R), padded with -1
    return _between(torch.stack(_bounds(scores.clone(), relevant.to(scores.device))), relevant)


def top_k(
    queries: Tensor, index: Index, k: int = 10, chunk: int | None = None, adjust: Adjust | None = None
) -> tuple[Tensor, Tensor]:
    """The k best scores (Q, k) and their rows of the index (Q, k), on the CPU; arguments as for `ranks`.

    Among equal scores the order is the sort's own: for metrics use `ranks`, which counts ties.
    """
    k = min(k, len(index))
    best = [scores.topk(k, dim=1) for _, scores in similarities(queries, index, chunk, adjust)]
    return torch.cat([b.values.cpu() for b in best]), torch.cat([b.indices.cpu() for b in best])


def similarities(
    queries: Tensor, index: Index, chunk: int | None = None, adjust: Adjust | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Yield (first query, scores (q, N)) chunk by chunk, on the index's device; the next chunk overwrites them."""
    unit_queries, size, num_vectors = unit_rows(queries, "queries"), len(index), queries[0].numel() // queries.shape[-1]
    if queries.shape[-1] != index.shape[-1]:
        raise ValueError(
            f"queries have {queries.shape[-1]} dimensions and the index {index.shape[-1]}: "
            "both must come from the same audio encoder's space"
        )
    chunk = chunk or min(1024, max(1, CHUNK_SCORES // ((size + -size % BLOCK) * num_vectors)))
    most = min(chunk, len(queries)) * num_vectors
    scores_of = index.scores if isinstance(index, AlignedIndex) else _padded_product(index, most)
    for start in range(0, len(queries), chunk):
        vectors = unit_queries[start : start + chunk].to(index.device)
        with _full_precision(index.device.type):
            scores = scores_of(vectors.flatten(0, -2))  # (q · M, N padded)
        if queries.ndim == 3:
            scores = scores.unflatten(0, vectors.shape[:2]).amax(dim=1)  # (q, N padded)
        scores = scores[:, :size]
        yield start, adjust(scores) if adjust else scores


def _padded_product(index: Tensor, most: int) -> Callable[[Tensor], Tensor]:
    """The dot products of unit queries, at most so many, with the padded index; one buffer for all calls."""
    unit_index = torch.nn.functional.pad(unit_rows(index, "index"), (0, 0, 0, -len(index) % BLOCK))
    buffer = unit_index.new_empty(most, len(unit_index))
    return lambda vectors: torch.mm(vectors, unit_index.T, out=buffer[: len(vectors)])


def unit_rows(vectors: Tensor, name: str) -> Tensor:
    """Vectors (…, D) as unit-norm float32; refuses NaN, infinite and zero ones, naming the first row that is."""
    if vectors.ndim < 2 or vectors.numel() == 0:
        raise ValueError(f"{name}: expected at least one row of vectors, found shape {tuple(vectors.shape)}")
    vectors = vectors.float()
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    for kind, bad in (("NaN or infinite", ~norms.isfinite()), ("zero", norms < 1e-12)):
        rows = bad.flatten(1).any(dim=1).nonzero().flatten()
        if len(rows):
            raise ValueError(
                f"{name}: {len(rows)} of {len(vectors)} vectors are {kind}, row {int(rows[0])} first; "
                "they cannot be ranked. Extract that track or caption again, or check the model that made it"
            )
    return vectors / norms


def relevant_rows(targets: Tensor | Sequence[Sequence[int]], num_queries: int, size: int) -> Tensor:
    """Any form of `targets` that `ranks` takes, as rows of the index (Q, R) long, each row's tail padded with -1."""
    if isinstance(targets, Tensor) and targets.ndim == 2:
        if targets.dtype != torch.bool or targets.shape != (num_queries, size):
            raise ValueError(
                f"relevant must be bool of shape {(num_queries, size)}, found {targets.dtype} of {tuple(targets.shape)}"
            )
        targets = [row.nonzero().flatten() for row in targets]
    if len(targets) != num_queries:
        raise ValueError(f"{num_queries} queries but targets for {len(targets)}: give one per query, in order")
    if isinstance(targets, Tensor):
        rows = targets.cpu().long().unsqueeze(1)  # (Q, 1)
    else:
        lists = [torch.as_tensor(row, dtype=torch.long).unique() for row in targets]
        empty = [q for q, row in enumerate(lists) if len(row) == 0]
        if empty:
            raise ValueError(f"query {empty[0]} has no relevant item ({len(empty)} such): leave it out of the task")
        rows = torch.nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=size)  # (Q, R)
    outside = (rows < 0) | (rows > (size - 1 if isinstance(targets, Tensor) else size))
    if outside.any():
        query = int(outside.any(dim=1).nonzero()[0])
        raise ValueError(f"query {query}: its relevant item lies outside the index of {size} rows")
    return rows.masked_fill(rows == size, -1)


def _between(bounds: Tensor, relevant: Tensor) -> Ranks:
    """Ranks from their bounds (2, Q, R): among ties, the middle. relevant (Q, R): -1 where a query has fewer."""
    (optimistic, pessimistic), mid = bounds[..., 0], bounds.mean(dim=0)
    return Ranks(mid[:, 0], optimistic, pessimistic, mid, num_relevant=(relevant >= 0).sum(dim=1))


def _bounds(similarity: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Optimistic and pessimistic ranks (q, R) of the best R relevant items, best first; overwrites `similarity`.

    They are float64 on the CPU: not every device has that.
    """
    valid = relevant >= 0
    scores = similarity.gather(1, relevant.clamp(min=0)).masked_fill(~valid, -math.inf)  # (q, R)
    query, column = valid.nonzero(as_tuple=True)
    similarity[query, relevant[query, column]] = -math.inf  # only items that are not relevant compete
    scores = scores.sort(dim=1, descending=True).values
    optimistic, pessimistic = [], []
    for place in range(min(DEPTH, scores.shape[1])):
        own = scores[:, place : place + 1]
        ahead, level = _count(similarity, own)
        optimistic.append(ahead + place + 1)
        pessimistic.append(level + place + 1)
    missing = scores[:, : len(optimistic)].isneginf().cpu()
    first, last = (torch.stack(bounds, dim=1).cpu().double() for bounds in (optimistic, pessimistic))
    return first.masked_fill(missing, math.inf), last.masked_fill(missing, math.inf)


def _count(similarity: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """How many of a row's scores are above, and how many not below, the row's own score (q, 1)."""
    width = COUNT_WIDTH if similarity.device.type == "cpu" else similarity.shape[1]
    blocks = similarity.split(width, dim=1)
    return sum((b > own).sum(dim=1) for b in blocks), sum((b >= own).sum(dim=1) for b in blocks)


@contextmanager
def _full_precision(device_type: str) -> Iterator[None]:
    """No TF32, no bfloat16 products and no autocast inside; what was set before is set again after."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
