"""Bootstrap intervals by track: of a mean, and of retrieval metrics.

Captions of one track are drawn together, because they are not independent.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor

from diffgar.evaluation.metrics.ranks import Ranks
from diffgar.evaluation.metrics.recall import medr_factor, per_query
from diffgar.evaluation.metrics.summary import Summary


def redraw(num_groups: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield `num_resamples` redraws with replacement: how often each group is drawn, (num_groups,)."""
    rng = np.random.default_rng(seed)
    for _ in range(num_resamples):
        yield np.bincount(rng.integers(num_groups, size=num_groups), minlength=num_groups)


def mean_with_interval(values: Tensor, groups: Tensor, num_resamples: int, seed: int) -> Summary:
    """The mean of values (S, Q), its deviation over the S samples, and a bootstrap interval by group (Q,)."""
    table = values.double().numpy()
    return Summary.of(table, redrawn_means(table.mean(axis=0), groups, num_resamples, seed), n=table.shape[1])


def redrawn_means(values: np.ndarray, groups: Tensor, num_resamples: int, seed: int) -> np.ndarray:
    """The mean of values (Q,) on each redraw of their groups (Q,) with replacement, (num_resamples,)."""
    group = np.unique(groups.numpy(), return_inverse=True)[1]
    totals = np.zeros((group.max() + 1, 2))  # a group's sum, and its number of values
    np.add.at(totals, group, np.stack([values, np.ones(len(values))], axis=1))
    return np.array([np.divide(*(drawn @ totals)) for drawn in redraw(len(totals), num_resamples, seed)])


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
    captions are drawn together. Two systems bootstrapped with one seed and one grouping meet the same tracks in every
    redraw, so their difference is paired. Returns metric → (num_resamples,). Efron & Tibshirani 1993, ch. 8.
    """
    group = np.unique(groups.numpy(), return_inverse=True)[1]
    num_groups = int(group.max()) + 1
    per_seed = [per_query(ranks) for ranks in samples]
    names = list(per_seed[0])
    values = np.stack([np.mean([columns[name] for columns in per_seed], axis=0) for name in names], axis=1)
    totals = np.zeros((num_groups, len(names) + 1))  # a track's sums over its queries, and their number
    np.add.at(totals, group, np.column_stack([values, np.ones(len(values))]))
    orders = [np.argsort(ranks.mid.numpy(), kind="stable") for ranks in samples]
    ordered = [(ranks.mid.numpy()[order], group[order]) for ranks, order in zip(samples, orders, strict=True)]
    factors = np.array([medr_factor(ranks, pool_size, protocol) for ranks in samples])
    rows, medians = np.empty((num_resamples, len(names))), np.empty((num_resamples, len(samples)))
    for b, drawn in enumerate(redraw(num_groups, num_resamples, seed)):
        sums = drawn @ totals
        rows[b] = sums[:-1] / sums[-1]
        medians[b] = [_weighted_median(mid, drawn[own]) for mid, own in ordered]
    redraws = dict(zip(names, rows.T, strict=True))
    return redraws | {"MedR_abs": medians.mean(axis=1), "MedR": (medians * factors).mean(axis=1)}


def summarise(values: Sequence[Mapping[str, float]], redraws: Mapping[str, np.ndarray]) -> dict[str, Summary]:
    """Metric → its summary, from its value for each sampling seed and its redraws (num_resamples,)."""
    return {name: Summary.of([seed[name] for seed in values], redraws[name]) for name in values[0]}


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The median of sorted values, each repeated `weights` times; the mean of the middle two for an even number."""
    reached = np.cumsum(weights)
    middle = ((reached[-1] - 1) // 2, reached[-1] // 2)
    return float(values[np.searchsorted(reached, middle, side="right")].mean())
