"""Evaluation by graded relevance: its task from two stores and judgements, and the report of every system."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.dataloading.datasets.columns import keep
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.evaluation.grades import Grades
from diffgar.evaluation.metrics.bootstrap import redrawn_means
from diffgar.evaluation.metrics.graded import graded_metrics
from diffgar.evaluation.metrics.ranks import CHUNK_SCORES, Index, similarities
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, Report, System
from diffgar.evaluation.retrieval import RetrievalOptions
from diffgar.evaluation.tasks import GRADED, NO_TRACK, RetrievalTask

CHUNK = CHUNK_SCORES // 16  # scores that are sorted at once: a dozen tables of that size are held, in float64


def graded_task(
    name: str,
    audio: Store,
    text: TextStore,
    judgements: pd.DataFrame,
    split: str,
    relevant_from: float = 1,
    where: Mapping[str, object] | None = None,
    allow_missing: bool = False,
) -> RetrievalTask:
    """The task that two stores and judgements (query_id, track_id, score) make: the pool is the split's tracks.

    The queries are the captions of the split that are judged with a track of the pool, whether they belong to a track
    or not. where: {column: value, or list of values} keeps those tracks. Raises InputError where nothing is left, where
    the text store lacks a judged query, and, unless it is allowed, where the audio store lacks a judged track.
    """
    tracks = audio.rows[audio.rows["split"] == split]
    tracks = keep(tracks, where) if where else tracks
    missing = _lacking(judgements["track_id"], audio)
    if missing and not allow_missing:
        raise InputError(
            f"task {name}: {len(missing)} judged tracks have no latents, first {missing[0]!r}; extract them, or set "
            "evaluation.allow_missing=true to evaluate on the rest and say so"
        )
    if unread := _lacking(judgements["query_id"], text):
        raise InputError(
            f"task {name}: {len(unread)} judged queries are not in {text.folder}, first {unread[0]!r}; extract the "
            "dataset again with them (data.queries), or correct task.qrels"
        )
    judgements = judgements[judgements["track_id"].isin(tracks["row_id"])]
    captions = text.rows[(text.rows["split"] == split) & text.rows["row_id"].isin(judgements["query_id"])]
    if captions.empty:
        raise InputError(
            f"task {name}: split {split!r} has no judged query and track; correct task.split or task.qrels"
        )
    captions = captions.assign(caption_id=captions["row_id"]).reset_index(drop=True)
    position_of = {track: position for position, track in enumerate(tracks["row_id"])}
    targets = torch.tensor([position_of.get(track, NO_TRACK) for track in captions["track_id"]])
    grades = Grades.of(judgements, list(captions["caption_id"]), list(position_of), relevant_from)
    return RetrievalTask(name, tuple(position_of), captions, targets, split, GRADED, tuple(missing), grades=grades)


def _lacking(ids: "pd.Series[str]", store: Store) -> list[str]:
    """The ids that a store has no row of."""
    return sorted(set(ids) - set(store.rows["row_id"]))


def evaluate_graded(
    queries: Mapping[System, Tensor],
    index: Mapping[System, Index],
    task: RetrievalTask,
    options: RetrievalOptions = RetrievalOptions(),  # noqa: B008 (frozen)
) -> Report:
    """Evaluate the queries of every system, (S, Q, D) or sets (S, Q, M, D), against its index; see `graded_metrics`.

    The intervals are of redrawn queries, of which those that are captions of one track are drawn together. The report
    also has chance: the mean over all orders of the pool. Raises InputError for options that this protocol has not.
    """
    _refuse_options(task, options)
    if task.grades is None:
        raise ValueError(f"task {task.name} has no grades: make it by graded_task")
    grades, size, num_queries = task.grades, len(task.track_ids), len(task.captions)
    chunk = options.chunk or max(1, CHUNK // size)
    groups = torch.where(task.targets == NO_TRACK, torch.arange(num_queries) + size, task.targets)
    how = (groups, options.num_resamples, options.bootstrap_seed)
    rows, tables = {}, []
    for system, samples in queries.items():
        values = [_values(similarities(sample, index[system], chunk), grades) for sample in samples]
        table = {name: np.stack([sample[name].numpy() for sample in values]) for name in values[0]}  # (S, Q) each
        rows[system] = {name: Summary.of(each, redrawn_means(each.mean(axis=0), *how)) for name, each in table.items()}
        tables += [_query_table(system, seed, task, sample) for seed, sample in enumerate(values)]
    chance = _values(_level(num_queries, size, chunk), grades)
    protocol = task.describe() | {"seeds": {system.label: len(samples) for system, samples in queries.items()}}
    protocol |= {"num_resamples": options.num_resamples, "bootstrap_seed": options.bootstrap_seed}
    exact = {name: Summary.exact(float(value.mean())) for name, value in chance.items()}
    return Report(protocol, {CHANCE: exact} | rows, pd.concat(tables, ignore_index=True))


def _values(scores: Iterable[tuple[int, Tensor]], grades: Grades) -> dict[str, Tensor]:
    """Each metric (Q,), from chunks of (first query, scores (q, N))."""
    parts = []
    for start, each in scores:
        own = grades.dense(start, start + len(each), each.shape[1])
        parts.append(graded_metrics(each, own, grades.relevant_from))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _level(num_queries: int, size: int, chunk: int) -> Iterator[tuple[int, Tensor]]:
    """As `similarities`, of a pool whose tracks are all equal: what a random order is in the mean."""
    for start in range(0, num_queries, chunk):
        yield start, torch.zeros(min(chunk, num_queries - start), size)


def _query_table(system: System, seed: int, task: RetrievalTask, values: Mapping[str, Tensor]) -> pd.DataFrame:
    """The metrics of every query, of one system and sampling seed."""
    columns = {name: value.numpy() for name, value in values.items()}
    return pd.DataFrame({"row": system.label, "seed": seed, "query_id": task.captions["caption_id"], **columns})


def _refuse_options(task: RetrievalTask, options: RetrievalOptions) -> None:
    """Raises InputError for what a graded task has not."""
    if options.hubness or options.mmr is not None or options.direction != "text_to_audio":
        raise InputError(
            f"task {task.name} is graded: queries retrieve tracks, in the order of similarity alone; set "
            "evaluation.retrieval.direction=text_to_audio, retrieval.hubness=[] and retrieval.mmr=null"
        )


def refuse_graded(task: RetrievalTask, what: str) -> None:
    """Raises InputError, which says that `what` needs each caption's own track, for a graded task."""
    if task.grades is not None:
        raise InputError(
            f"{what} needs captions that belong to tracks, and task {task.name} is graded; choose another task"
        )
