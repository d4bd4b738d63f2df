"""The retrieval evaluator: queries of several systems and an index in, a report of metrics and ranks out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.checks import check_mmr
from diffgar.evaluation.metrics.bootstrap import bootstrap_metrics, redrawn_means, summarise
from diffgar.evaluation.metrics.hubness import CORRECTIONS, QueryBankNorm, correct
from diffgar.evaluation.metrics.mmr import mmr_ranks
from diffgar.evaluation.metrics.order import CHANCE_OF_ORDER, ORDER_RIGHT, order_right
from diffgar.evaluation.metrics.ranks import Index, Ranks, ranks
from diffgar.evaluation.metrics.recall import chance_metrics, retrieval_metrics
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, Report, System
from diffgar.evaluation.resolved import ResolvedTask, resolve_task
from diffgar.evaluation.tasks import DIRECTIONS, RetrievalTask
from diffgar.values import listed, one_of, whole


@dataclass(frozen=True)
class RetrievalOptions:
    """How to evaluate.

    direction: `text_to_audio` or `audio_to_text`. num_resamples, bootstrap_seed: size and seed of the bootstrap over
    tracks. hubness: corrections, `qb_norm` or `centring`, each reported as a further system. mmr: the query's weight in
    MMR, which re-ranks all systems' lists, text → audio; None for none. chunk: how many queries are ranked at once;
    None for as many as fit.
    """

    direction: str = "text_to_audio"
    num_resamples: int = 1000
    bootstrap_seed: int = 0
    hubness: tuple[str, ...] = ()
    mmr: float | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        one_of("retrieval.direction", self.direction, DIRECTIONS)
        whole("retrieval.num_resamples", self.num_resamples, least=1)
        whole("retrieval.bootstrap_seed", self.bootstrap_seed)
        for correction in listed("retrieval.hubness", self.hubness, "[centring]"):
            one_of("retrieval.hubness", correction, tuple(CORRECTIONS))
        if self.mmr is not None:
            check_mmr(self.mmr, self.direction, self.hubness)


def evaluate_retrieval(
    queries: Mapping[System, Tensor],
    index: Index | Mapping[System, Index],
    task: RetrievalTask,
    options: RetrievalOptions = RetrievalOptions(),  # noqa: B008 (frozen)
    bank: Mapping[System, Tensor] | None = None,
) -> Report:
    """Evaluate the queries of every system by the task's protocol; the report also has chance.

    queries: (S, Q, D) for S sampling seeds, or (S, Q, M, D) for sets of M vectors, in the order of `task.captions` (of
    `task.track_ids` for audio → text). index: (N, D), or an `AlignedIndex`, in the order of `task.track_ids` (of
    `task.captions`), one for all systems or one per system. bank: queries (B, D) of training captions, on which
    `options.hubness` is estimated. Where the task has twins, each system also has `order_right`.

        report = evaluate_retrieval({System("mine"): queries}, index, task)
        report.rows[System("mine")]["R@10"].mean
    """
    if not queries:
        raise ValueError("nothing to evaluate: give the queries of at least one system")
    if CHANCE in queries:
        raise ValueError("the name 'chance' is taken: chance is computed in closed form; rename that system")
    resolved = resolve_task(task, options.direction)
    runs: dict[System, list[Outcome]] = {}
    for system, samples in queries.items():
        own_index = index[system] if isinstance(index, Mapping) else index
        _check_sizes(system, samples, own_index, task, options.direction)
        runs[system] = [_outcome(sample, own_index, resolved, options) for sample in samples]
        for correction in options.hubness:
            if bank is None or system not in bank:
                raise ValueError(
                    f"hubness {correction!r} needs training queries of {system.label!r}: give its queries in `bank`"
                )
            moved = (correct(correction, sample, own_index, bank[system]) for sample in samples)
            runs[replace(system, correction=correction)] = [
                _outcome(sample, tracks, resolved, options, adjust) for sample, tracks, adjust in moved
            ]
    return _report(runs, resolved, task, options)


@dataclass(frozen=True)
class Outcome:
    """Of one sampling seed's queries: their ranks, and `order_right` (Q') of those with a twin, if the task has any."""

    ranks: Ranks
    order: Tensor | None

    def metrics(self, pool_size: int, protocol: str) -> dict[str, float]:
        """Name → value of every metric."""
        order = {} if self.order is None else {ORDER_RIGHT: float(self.order.mean())}
        return retrieval_metrics(self.ranks, pool_size, protocol) | order


def _outcome(
    queries: Tensor,
    index: Index,
    resolved: ResolvedTask,
    options: RetrievalOptions,
    adjust: QueryBankNorm | None = None,
) -> Outcome:
    """The outcome of one sampling seed's queries, after the resolved task has selected from queries and index."""
    order = None
    if resolved.twins is not None:
        asked, own, twins = resolved.twins.unbind()
        order = order_right(queries[asked], index, own, twins, options.chunk, adjust)
    queries = queries if resolved.query_positions is None else queries[resolved.query_positions]
    if resolved.index_positions is not None:
        index = index[resolved.index_positions.to(index.device)]
        adjust = None if adjust is None else adjust.take(resolved.index_positions)
    found = ranks(queries, index, resolved.relevant, options.chunk, adjust)
    if options.mmr is not None:
        found = mmr_ranks(found, queries, index, options.mmr, options.chunk)
    return Outcome(found, order)


def _redraws(
    samples: Sequence[Outcome], resolved: ResolvedTask, size: int, protocol: str, options: RetrievalOptions
) -> dict[str, np.ndarray]:
    """Each metric of one system, averaged over sampling seeds, on redraws of the tracks."""
    how = (options.num_resamples, options.bootstrap_seed)
    found = bootstrap_metrics([sample.ranks for sample in samples], resolved.groups, size, protocol, *how)
    orders = [sample.order for sample in samples if sample.order is not None]
    if orders and resolved.twins is not None:
        groups = resolved.groups[resolved.twins[0]]
        found[ORDER_RIGHT] = redrawn_means(torch.stack(orders).mean(dim=0).numpy(), groups, *how)
    return found


def _report(
    runs: Mapping[System, list[Outcome]], resolved: ResolvedTask, task: RetrievalTask, options: RetrievalOptions
) -> Report:
    """The report of every system, from its outcome for each sampling seed."""
    protocol = task.describe(options.direction)
    size, rows = protocol["pool_size"], {}
    for system, samples in runs.items():
        redraws = _redraws(samples, resolved, size, task.protocol, options)
        rows[system] = summarise([sample.metrics(size, task.protocol) for sample in samples], redraws)
    chance = chance_metrics(next(iter(runs.values()))[0].ranks.num_relevant, size)
    chance |= {} if resolved.twins is None else {ORDER_RIGHT: CHANCE_OF_ORDER}
    protocol |= {"seeds": {system.label: len(samples) for system, samples in runs.items()}, **asdict(options)}
    del protocol["chunk"]  # changes nothing but the memory
    protocol["hubness"] = list(options.hubness)
    return Report(
        protocol,
        {CHANCE: {name: Summary.exact(value) for name, value in chance.items()}} | rows,
        pd.concat([_query_table(*run, resolved) for run in runs.items()], ignore_index=True),
    )


def _query_table(system: System, samples: Sequence[Outcome], resolved: ResolvedTask) -> pd.DataFrame:
    """The per-query ranks of one system, one sampling seed after the other."""
    tables = [
        pd.DataFrame(
            {
                "row": system.label,
                "seed": seed,
                "query_id": resolved.query_ids,
                "rank": sample.ranks.mid.numpy(),
                "optimistic": sample.ranks.optimistic.numpy(),
                "pessimistic": sample.ranks.pessimistic.numpy(),
            }
        )
        for seed, sample in enumerate(samples)
    ]
    return pd.concat(tables, ignore_index=True)


def _check_sizes(system: System, queries: Tensor, index: Index, task: RetrievalTask, direction: str) -> None:
    """Refuse (ValueError) queries or an index that are not as many as the task has."""
    sizes = (len(task.captions), len(task.track_ids))
    num_queries, size = sizes if direction == "text_to_audio" else sizes[::-1]
    if queries.ndim not in (3, 4) or queries.shape[1] != num_queries:
        raise ValueError(
            f"system {system.label!r}: expected queries (seeds, {num_queries}, D) for task {task.name}, "
            f"found {tuple(queries.shape)}; put the sampling seeds first"
        )
    if len(index) != size:
        raise ValueError(
            f"system {system.label!r}: the index has {len(index)} rows, task {task.name} has {size}; "
            "use task.with_tracks(...) to keep the tracks that have latents"
        )
