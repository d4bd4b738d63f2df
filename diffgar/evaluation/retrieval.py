"""The retrieval evaluator: queries of several systems and an index in, a report of metrics and ranks out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.checks import POOLINGS, SAMPLES, check_mmr
from diffgar.evaluation.metrics.bootstrap import bootstrap_metrics, paired_differences, summarise
from diffgar.evaluation.metrics.hubness import CORRECTIONS, QueryBankNorm, correct
from diffgar.evaluation.metrics.mmr import mmr_ranks
from diffgar.evaluation.metrics.ranks import Ranks, ranks
from diffgar.evaluation.metrics.recall import chance_metrics, retrieval_metrics
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, Report, System
from diffgar.evaluation.tasks import DIRECTIONS, ResolvedTask, RetrievalTask, resolve_task
from diffgar.models.encoders.base import pool
from diffgar.models.encoders.segments import segment_means, side_by_side
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
    index: Tensor | Mapping[System, Tensor],
    task: RetrievalTask,
    options: RetrievalOptions = RetrievalOptions(),  # noqa: B008 (frozen)
    bank: Mapping[System, Tensor] | None = None,
) -> Report:
    """Evaluate the queries of every system by the task's protocol; the report also has chance.

    queries: (S, Q, D) for S sampling seeds, or (S, Q, M, D) for sets of M vectors, in the order of `task.captions` (of
    `task.track_ids` for audio → text). index: (N, D) in the order of `task.track_ids` (of `task.captions`), one for
    all systems or one per system. bank: queries (B, D) of training captions, on which `options.hubness` is estimated.

        report = evaluate_retrieval({System("mine"): queries}, index, task)
        report.rows[System("mine")]["R@10"].mean
    """
    if not queries:
        raise ValueError("nothing to evaluate: give the queries of at least one system")
    if CHANCE in queries:
        raise ValueError("the name 'chance' is taken: chance is computed in closed form; rename that system")
    resolved = resolve_task(task, options.direction)
    runs: dict[System, list[Ranks]] = {}
    for system, samples in queries.items():
        own_index = index[system] if isinstance(index, Mapping) else index
        _check_sizes(system, samples, own_index, task, options.direction)
        runs[system] = [_rank(sample, own_index, resolved, options) for sample in samples]
        for correction in options.hubness:
            if bank is None or system not in bank:
                raise ValueError(
                    f"hubness {correction!r} needs training queries of {system.label!r}: give its queries in `bank`"
                )
            moved = (correct(correction, sample, own_index, bank[system]) for sample in samples)
            runs[replace(system, correction=correction)] = [
                _rank(sample, tracks, resolved, options, adjust) for sample, tracks, adjust in moved
            ]
    return _report(runs, resolved, task, options)


def make_queries(
    latents: Tensor,
    mask: Tensor | None = None,
    samples: str = "mean",
    pooling: str = "mean",
    centre: Tensor | None = None,
    segments: int = 2,
) -> Tensor:
    """Queries from generated latents (Q, K, T, D), K samples per caption, and their mask (Q, K, T).

        pooling       samples   queries
        "mean"        "mean"    (Q, D)         one vector per caption
        "mean"        "set"     (Q, K, D)      one per sample; the sample nearest to a track counts
        "best_frame"  "mean"    (Q, T, D)      one per frame; the frame nearest to a track counts
        "best_frame"  "set"     (Q, K · T, D)  one per frame of each sample
        "segments"    "mean"    (Q, P · D)     the means of P = `segments` parts side by side: order counts
        "segments"    "set"     (Q, K, P · D)  the same per sample

    centre (D,): the point that is subtracted before vectors get unit length, as for the index (`queries.index_of`).
    """
    one_of("samples", samples, SAMPLES)
    one_of("pooling", pooling, POOLINGS)
    if pooling == "best_frame":
        if mask is not None and not mask.all():
            raise ValueError("best_frame needs queries without padding frames: generate all with one num_frames")
        frames = pool(latents.unsqueeze(-2), centre=centre)  # (Q, K, T, D), each frame by itself
        return frames.mean(dim=1) if samples == "mean" else frames.flatten(1, 2)
    if pooling == "segments":
        vectors = side_by_side(segment_means(latents, segments, mask), centre)  # (Q, K, P · D)
    else:
        vectors = pool(latents, mask, centre)  # (Q, K, D)
    return torch.nn.functional.normalize(vectors.mean(dim=1), dim=-1) if samples == "mean" else vectors


def _rank(
    queries: Tensor,
    index: Tensor,
    resolved: ResolvedTask,
    options: RetrievalOptions,
    adjust: QueryBankNorm | None = None,
) -> Ranks:
    """The ranks of one sampling seed's queries, after the resolved task has selected from queries and index."""
    queries = queries if resolved.query_positions is None else queries[resolved.query_positions]
    if resolved.index_positions is not None:
        index = index[resolved.index_positions.to(index.device)]
        adjust = None if adjust is None else adjust.take(resolved.index_positions)
    found = ranks(queries, index, resolved.relevant, options.chunk, adjust)
    return found if options.mmr is None else mmr_ranks(found, queries, index, options.mmr, options.chunk)


def _report(
    runs: Mapping[System, list[Ranks]], resolved: ResolvedTask, task: RetrievalTask, options: RetrievalOptions
) -> Report:
    """The report of every system's ranks, a `Ranks` for each sampling seed."""
    protocol = task.describe(options.direction)
    size, redraws, rows = protocol["pool_size"], {}, {}
    for system, samples in runs.items():
        redraws[system] = bootstrap_metrics(
            samples, resolved.groups, size, task.protocol, options.num_resamples, options.bootstrap_seed
        )
        metrics = [retrieval_metrics(sample, size, task.protocol) for sample in samples]
        rows[system] = summarise(metrics, redraws[system])
    chance = chance_metrics(next(iter(runs.values()))[0].num_relevant, size)
    paired = {(a, b): paired_differences(redraws[a], redraws[b], (rows[a], rows[b])) for a, b in combinations(runs, 2)}
    protocol |= {"seeds": {system.label: len(samples) for system, samples in runs.items()}, **asdict(options)}
    del protocol["chunk"]  # changes nothing but the memory
    protocol["hubness"] = list(options.hubness)
    return Report(
        protocol,
        {CHANCE: {name: Summary.exact(value) for name, value in chance.items()}} | rows,
        paired,
        pd.concat([_query_table(*run, resolved) for run in runs.items()], ignore_index=True),
    )


def _query_table(system: System, samples: Sequence[Ranks], resolved: ResolvedTask) -> pd.DataFrame:
    """The per-query ranks of one system, one sampling seed after the other."""
    tables = [
        pd.DataFrame(
            {
                "row": system.label,
                "seed": seed,
                "query_id": resolved.query_ids,
                "rank": sample.mid.numpy(),
                "optimistic": sample.optimistic.numpy(),
                "pessimistic": sample.pessimistic.numpy(),
            }
        )
        for seed, sample in enumerate(samples)
    ]
    return pd.concat(tables, ignore_index=True)


def _check_sizes(system: System, queries: Tensor, index: Tensor, task: RetrievalTask, direction: str) -> None:
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
