"""Ranks to retrieval metrics in per cent: their values, and what a random order gives."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from diffgar.evaluation.metrics.ranks import Ranks

KS = (1, 5, 10)
AP_DEPTH = 10


def retrieval_metrics(ranks: Ranks, pool_size: int, protocol: str = "unique_tracks") -> dict[str, float]:
    """R@1, R@5, R@10, MedR, MedR_abs, MRR and mAP@10 of one set of queries, in per cent; MedR_abs is a rank.

    A query hits at k when its mid-rank is ≤ k; `R@k_optimistic` and `R@k_pessimistic` count the bounds instead, and
    `ties` is the share of queries for which the two differ. MedR = 100 · median rank / pool size; under `caption_rows`
    it is divided by the worst rank seen, as the published code does. Below 2k tracks a constant model's mid-rank is
    itself ≤ k: quote no R@k there.
    """
    values = {name: float(column.mean()) for name, column in per_query(ranks).items()}
    values["MedR_abs"] = float(np.median(ranks.mid.numpy()))
    values["MedR"] = values["MedR_abs"] * medr_factor(ranks, pool_size, protocol)
    return values


def chance_metrics(num_relevant: Tensor | Sequence[int], pool_size: int) -> dict[str, float]:
    """The mean of every metric of `retrieval_metrics` over all orders of the pool, in closed form.

    num_relevant (Q,): relevant items of each query. P(best rank > r) = C(N − n, r) / C(N, r).
    """
    counts, queries = np.unique(np.asarray(num_relevant), return_counts=True)
    share = queries / queries.sum()
    places = np.arange(1, pool_size + 1)
    found = np.zeros(pool_size)  # P(best rank ≤ r), over the queries
    precision = 0.0
    for n, weight in zip(counts.tolist(), share, strict=True):
        found += weight * (1 - _none_found(n, pool_size))
        top = places[:AP_DEPTH]
        ahead = (top - 1) * (n - 1) / max(1, pool_size - 1)  # relevant items expected above one at this place
        precision += float(weight * ((1 + ahead) / top).sum()) * n / pool_size / min(n, AP_DEPTH)
    values = {f"R@{k}": 100 * float(found[min(k, pool_size) - 1]) for k in KS}
    values |= {f"R@{k}_{bound}": values[f"R@{k}"] for k in KS for bound in ("optimistic", "pessimistic")}
    values["ties"] = 0.0
    values["MRR"] = 100 * float((np.diff(found, prepend=0.0) / places).sum())
    values["mAP@10"] = 100 * precision
    low, high = np.searchsorted(found, 0.5 - 1e-9), np.searchsorted(found, 0.5 + 1e-9, side="right")
    values["MedR_abs"] = 1 + float(low + high) / 2
    values["MedR"] = 100 * values["MedR_abs"] / pool_size
    return values


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    """Every metric that is a mean over queries, as its (Q,) terms in per cent."""
    bounds = {"": ranks.mid, "_optimistic": ranks.optimistic, "_pessimistic": ranks.pessimistic}
    columns = {f"R@{k}{suffix}": 100.0 * (r.numpy() <= k) for suffix, r in bounds.items() for k in KS}
    columns["ties"] = 100.0 * (ranks.pessimistic > ranks.optimistic).numpy()
    columns["MRR"] = 100.0 / ranks.mid.numpy()
    relevant = ranks.relevant.numpy()  # (Q, R)
    precision = np.arange(1, relevant.shape[1] + 1) / relevant
    hits = np.where(relevant <= AP_DEPTH, precision, 0.0).sum(axis=1)
    columns["mAP@10"] = 100.0 * hits / np.minimum(ranks.num_relevant.numpy(), AP_DEPTH)
    return columns


def medr_factor(ranks: Ranks, pool_size: int, protocol: str) -> float:
    """The factor from a median rank to MedR in per cent."""
    return 100.0 / (float(ranks.mid.max()) if protocol == "caption_rows" else pool_size)


def _none_found(num_relevant: int, pool_size: int) -> np.ndarray:
    """P(none of the relevant items is among the first r) for r from 1 to N."""
    places = np.arange(1, pool_size + 1)
    if num_relevant == 1:
        return (pool_size - places) / pool_size
    steps = np.clip(pool_size - num_relevant - places + 1, 0, None) / (pool_size - places + 1)
    return np.cumprod(steps)


def wilson_half_width(percent: float, num_queries: int) -> float:
    """Half the 95 % interval of a recall (per cent) known only by its value and number of queries (Wilson 1927)."""
    p, z = percent / 100, 1.96
    return 100 * z / (1 + z**2 / num_queries) * math.sqrt(p * (1 - p) / num_queries + (z / (2 * num_queries)) ** 2)
