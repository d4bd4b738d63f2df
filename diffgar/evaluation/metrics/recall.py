"""Ranks to retrieval metrics in per cent: their values, what chance gives, and how sure they are."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from diffgar.evaluation.metrics.ranks import Ranks

KS = (1, 5, 10)
AP_DEPTH = 10


def retrieval_metrics(ranks: Ranks, pool_size: int, protocol: str = "unique_tracks") -> dict[str, float]:
    """R@1, R@5, R@10, MedR, MedR_abs, MRR and mAP@10 of one set of queries: per cent, MedR_abs in places.

    A query hits at k when its mid-rank is ≤ k; `R@k_optimistic` and `R@k_pessimistic` count the bounds instead, and
    `ties` is the share of queries for which the two differ. MedR = 100 · median rank / pool size; under `caption_rows`
    it is divided by the worst rank seen, as the published code does. Below 2k tracks a constant model's mid-rank is
    itself ≤ k: quote no R@k there.
    """
    values = {name: float(column.mean()) for name, column in _per_query(ranks).items()}
    values["MedR_abs"] = float(np.median(ranks.mid.numpy()))
    values["MedR"] = values["MedR_abs"] * _medr_factor(ranks, pool_size, protocol)
    return values


def chance_metrics(num_relevant: Tensor | Sequence[int], pool_size: int) -> dict[str, float]:
    """What a uniformly random order of the pool gives on average, in closed form, with `retrieval_metrics`' keys.

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


def bootstrap_metrics(
    samples: Sequence[Ranks],
    groups: Tensor,
    pool_size: int,
    protocol: str = "unique_tracks",
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Each metric, averaged over sampling seeds, on `num_resamples` redraws of the tracks with replacement.

    samples: the ranks of the same Q queries for each sampling seed. groups (Q,): the track of each query, whose
    captions are drawn together. Two rows bootstrapped with one seed and one grouping meet the same tracks in every
    redraw, so their difference is a paired one. Returns metric → (num_resamples,). Efron & Tibshirani 1993, ch. 8.
    """
    group_of = np.unique(groups.numpy(), return_inverse=True)[1]  # (Q,), counted from 0
    num_groups = int(group_of.max()) + 1
    per_seed = [_per_query(ranks) for ranks in samples]
    names = list(per_seed[0])
    values = np.stack([np.mean([columns[name] for columns in per_seed], axis=0) for name in names], axis=1)
    totals = np.zeros((num_groups, len(names) + 1))  # a track's sums over its queries, and their number
    np.add.at(totals, group_of, np.column_stack([values, np.ones(len(values))]))
    orders = [np.argsort(ranks.mid.numpy(), kind="stable") for ranks in samples]
    ordered = [(ranks.mid.numpy()[order], group_of[order]) for ranks, order in zip(samples, orders, strict=True)]
    factors = np.array([_medr_factor(ranks, pool_size, protocol) for ranks in samples])
    rows, medians = np.empty((num_resamples, len(names))), np.empty((num_resamples, len(samples)))
    for b, drawn in enumerate(redraw(num_groups, num_resamples, seed)):
        sums = drawn @ totals
        rows[b] = sums[:-1] / sums[-1]
        medians[b] = [_weighted_median(mid, drawn[group]) for mid, group in ordered]
    redraws = dict(zip(names, rows.T, strict=True))
    return redraws | {"MedR_abs": medians.mean(axis=1), "MedR": (medians * factors).mean(axis=1)}


def redraw(num_groups: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn, (num_groups,), in each of `num_resamples` redraws with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(num_resamples):
        yield np.bincount(rng.integers(num_groups, size=num_groups), minlength=num_groups)


def summarise(values: Sequence[dict[str, float]], redraws: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Metric → mean and std (n − 1; 0 for one seed) over sampling seeds, low and high of the 95 % interval."""
    summary = {}
    for name in values[0]:
        seeds = np.array([seed[name] for seed in values])
        low, high = np.percentile(redraws[name], (2.5, 97.5))
        std = float(seeds.std(ddof=1)) if len(seeds) > 1 else 0.0
        summary[name] = {"mean": float(seeds.mean()), "std": std, "low": float(low), "high": float(high)}
    return summary


def paired_differences(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], means: tuple[dict, dict]
) -> dict[str, dict]:
    """Metric → the difference first − second, its paired 95 % interval, and whether that leaves out zero.

    means: the two rows' summaries. p: two-sided bootstrap p-value, the share of redraws on the other side of zero.
    """
    differences = {}
    for name in first:
        delta = first[name] - second[name]
        low, high = np.percentile(delta, (2.5, 97.5))
        p = min(1.0, 2 * (1 + min((delta <= 0).sum(), (delta >= 0).sum())) / (1 + len(delta)))
        differences[name] = {
            "difference": means[0][name]["mean"] - means[1][name]["mean"],
            "low": float(low),
            "high": float(high),
            "p": float(p),
            "outside_noise": bool(low > 0 or high < 0),
        }
    return differences


def _per_query(ranks: Ranks) -> dict[str, np.ndarray]:
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


def _medr_factor(ranks: Ranks, pool_size: int, protocol: str) -> float:
    return 100.0 / (float(ranks.mid.max()) if protocol == "caption_rows" else pool_size)


def _none_found(num_relevant: int, pool_size: int) -> np.ndarray:
    """P(none of the relevant items is among the first r) for r from 1 to N."""
    places = np.arange(1, pool_size + 1)
    if num_relevant == 1:
        return (pool_size - places) / pool_size
    steps = np.clip(pool_size - num_relevant - places + 1, 0, None) / (pool_size - places + 1)
    return np.cumprod(steps)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The median of sorted values, each repeated `weights` times; the mean of the middle two for an even number."""
    reached = np.cumsum(weights)
    middle = ((reached[-1] - 1) // 2, reached[-1] // 2)
    return float(values[np.searchsorted(reached, middle, side="right")].mean())


def wilson_half_width(percent: float, num_queries: int) -> float:
    """Half the 95 % interval of a recall (per cent) known only by its value and number of queries (Wilson 1927)."""
    p, z = percent / 100, 1.96
    return 100 * z / (1 + z**2 / num_queries) * math.sqrt(p * (1 - p) / num_queries + (z / (2 * num_queries)) ** 2)
