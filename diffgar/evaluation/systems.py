"""The systems of a retrieval table: the queries of each, and the index they search, for one task."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.attributes import attribute_codes, chance_of_attributes, summarise_attributes
from diffgar.evaluation.metrics.ranks import Index
from diffgar.evaluation.models import CaptionProjector
from diffgar.evaluation.pooling import Pooling
from diffgar.evaluation.projected import projected_index, projected_queries
from diffgar.evaluation.queries import Progress, generated_queries, no_progress
from diffgar.evaluation.report import CHANCE, TEACHER, Metrics, System
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.evaluation.track_means import index_of

BANK = 1000  # training captions that a hubness correction is estimated on


@dataclass
class Systems:
    """The systems that are compared on one task.

    queries: system → (S, Q, D), or (S, Q, M, D) for sets. index: the tracks that they search. bank: the queries (B, D)
    of training captions. samplers, seen: of each model, whatever the pooling: how its queries were sampled, as
    `Sampler.describe` has it, and how many of the pool's tracks it was trained on, None where that is unknown.
    """

    queries: dict[System, Tensor] = field(default_factory=dict)
    index: dict[System, Index] = field(default_factory=dict)
    bank: dict[System, Tensor] = field(default_factory=dict)
    samplers: dict[System, dict[str, Any]] = field(default_factory=dict)
    seen: dict[System, int | None] = field(default_factory=dict)

    def ranked_on(self, device: torch.device | str) -> "Systems":
        """The same systems, ranked on a device: it holds each index, and gets the queries chunk by chunk."""
        return replace(self, index={system: index.to(device) for system, index in self.index.items()})


def make_systems(
    experiments: Sequence[Experiment],
    seeds: Sequence[int],
    poolings: Sequence[Pooling] = (Pooling(),),
    with_bank: bool = False,
    progress: Progress = no_progress,
) -> Systems:
    """The teacher where the pair is joint, then the model of each experiment on the same task.

    A model that generates has a row per pooling, of the same latents; the teacher, and a model that projects captions,
    have one, because what they search with has no course in time. A second model of a kind is named by its own name
    and step.
    """
    systems, first = Systems(), experiments[0]
    bank = bank_positions(first) if with_bank else np.zeros(0, dtype=np.int64)
    if first.joint:
        systems.queries[TEACHER] = first.caption_embeddings(first.caption_positions)[None]
        systems.index[TEACHER] = index_of(first.audio, first.task)
        systems.bank[TEACHER] = first.caption_embeddings(bank)
    for experiment in experiments:
        model = System(experiment.model.row)
        if model in systems.seen:
            model = System(experiment.name, step=experiment.step)
        systems.seen[model] = experiment.seen
        if experiment.model.sampled:
            systems.samplers[model] = experiment.sampler.describe()
        rows = rows_of(model, experiment, poolings)
        ask = partial(queries_of, experiment, poolings=list(rows.values()), progress=progress)
        systems.queries |= zip(rows, ask(experiment.caption_positions, seeds), strict=True)
        systems.index |= {row: index_for(experiment, pooling) for row, pooling in rows.items()}
        if with_bank:
            systems.bank |= zip(rows, (queries[0] for queries in ask(bank, seeds[:1])), strict=True)
    return systems


def rows_of(model: System, experiment: Experiment, poolings: Sequence[Pooling]) -> dict[System, Pooling]:
    """The rows of a model, and how each is pooled: named by their poolings where there are several."""
    if isinstance(experiment.model, CaptionProjector):
        return {model: Pooling()}
    if len(poolings) == 1:
        return {model: poolings[0]}
    return {replace(model, pooling=None if each.pooling == "mean" else each.pooling): each for each in poolings}


def num_queries(experiments: Sequence[Experiment], num_seeds: int, with_bank: bool = False) -> int:
    """How many captions `make_systems` reports as finished, with every sampling seed and model."""
    bank = len(bank_positions(experiments[0])) if with_bank else 0
    generating = [each for each in experiments if not isinstance(each.model, CaptionProjector)]
    return sum(len(each.caption_positions) * num_seeds + bank for each in generating)


def index_for(experiment: Experiment, pooling: Pooling = Pooling()) -> Index:  # noqa: B008 (frozen)
    """The tracks in the space of the model's queries."""
    model = experiment.model
    if isinstance(model, CaptionProjector):
        return projected_index(model, experiment.audio, experiment.task)
    return pooling.index(experiment.audio, experiment.task, model.centre)


def queries_of(
    experiment: Experiment,
    positions: np.ndarray,
    seeds: Sequence[int],
    poolings: Sequence[Pooling] = (Pooling(),),
    progress: Progress = no_progress,
) -> list[Tensor]:
    """The model's queries (S, Q, ...) for captions of the text store, by each pooling of the same latents."""
    model, text = experiment.model, experiment.text
    if isinstance(model, CaptionProjector):
        return [projected_queries(model, text, positions)]
    to_queries = [partial(each.queries, centre=model.centre) for each in poolings]
    return generated_queries(model, experiment.sampler, text, positions, seeds, to_queries, progress=progress)


def bank_positions(experiment: Experiment) -> np.ndarray:
    """At most BANK training captions of the task's dataset, evenly spread. Raises InputError where it has none."""
    captions = experiment.text.rows_of("train")
    if len(captions) == 0:
        raise InputError(
            f"task {experiment.task.name}: a hubness correction needs a train split, and there is none; extract it "
            "too, or set evaluation.retrieval.hubness=[]"
        )
    return captions[np.unique(np.linspace(0, len(captions) - 1, BANK).astype(int))]


def named_attributes(experiment: Experiment, attributes: Sequence[str] | None) -> tuple[list[set[str]], pd.DataFrame]:
    """The attributes that each caption names, and the tracks' table of attributes.

    The captions' column `named` lists them, joined by "|". Raises InputError where a column is absent, or `attributes`
    is empty.
    """
    if not attributes:
        raise InputError(
            f"task {experiment.task.name} has no ground truth to measure by; name the table's columns of it with "
            "task.attributes=[…], and in a column `named`, for each caption, those that it names, joined by |"
        )
    captions, tracks = experiment.task.captions, experiment.audio.rows
    refuse_absent(experiment.task, experiment.audio, attributes)
    named = [set(str(words).split("|")) & set(attributes) for words in captions["named"]]
    return named, tracks.iloc[experiment.track_positions][list(attributes)].reset_index(drop=True)


def refuse_absent(task: RetrievalTask, audio: Store, attributes: Sequence[str]) -> None:
    """Raises InputError where a task's stores lack one of the columns of ground truth."""
    absent = [name for name in attributes if name not in audio.rows]
    if "named" not in task.captions:
        absent.append("named")
    if absent:
        raise InputError(
            f"task {task.name}: the stores have no column {absent[0]!r}, the ground truth; give it in the "
            "dataset's table and extract again, or set task.attributes=null"
        )


def attribute_metrics(
    experiment: Experiment, systems: Systems, attributes: Sequence[str], mmr: float | None = None
) -> dict[System, Metrics]:
    """`attribute_precision@10` of every system and of chance; empty where no caption names an attribute."""
    named, tracks = named_attributes(experiment, attributes)
    if not any(named):
        return {}
    targets = experiment.task.targets
    codes = attribute_codes(named, targets, tracks)
    found = {CHANCE: chance_of_attributes(*codes)}
    for system, queries in systems.queries.items():
        found[system] = summarise_attributes(queries, systems.index[system], targets, *codes, mmr=mmr)
    return {system: {"attribute_precision@10": summary} for system, summary in found.items()}


def audio_to_text(experiment: Experiment) -> Systems:
    """The teacher, audio → text: tracks search captions. Raises InputError for a pair that is not joint."""
    captions = experiment.caption_embeddings(experiment.caption_positions, "audio_to_text")
    return Systems({TEACHER: index_of(experiment.audio, experiment.task)[None]}, {TEACHER: captions})
