"""The systems of a retrieval table: the queries of each, and the index they search, for one task."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.attributes import attribute_codes, chance_of_attributes, summarise_attributes
from diffgar.evaluation.models import CaptionProjector
from diffgar.evaluation.projected import projected_index, projected_queries, repeated
from diffgar.evaluation.queries import Progress, generated_queries, index_of, no_progress
from diffgar.evaluation.report import CHANCE, TEACHER, Metrics, System
from diffgar.evaluation.retrieval import make_queries
from diffgar.evaluation.tasks import RetrievalTask

BANK = 1000  # training captions that a hubness correction is estimated on


@dataclass(frozen=True)
class Pooling:
    """How samples and frames become queries, and tracks an index; see `make_queries`."""

    samples: str = "mean"
    pooling: str = "mean"
    segments: int = 2

    @property
    def parts(self) -> int:
        """How many parts of a track the index has side by side."""
        return self.segments if self.pooling == "segments" else 1


@dataclass
class Systems:
    """The systems that are compared on one task.

    queries: system → (S, Q, D), or (S, Q, M, D) for sets. index: the tracks (N, D) that they search. bank: the queries
    (B, D) of training captions. samplers: how the queries were sampled, as `Sampler.describe` has it. seen: how many
    of the pool's tracks the model was trained on, None where that is unknown.
    """

    queries: dict[System, Tensor] = field(default_factory=dict)
    index: dict[System, Tensor] = field(default_factory=dict)
    bank: dict[System, Tensor] = field(default_factory=dict)
    samplers: dict[System, dict[str, Any]] = field(default_factory=dict)
    seen: dict[System, int | None] = field(default_factory=dict)


def make_systems(
    experiments: Sequence[Experiment],
    seeds: Sequence[int],
    pooling: Pooling = Pooling(),  # noqa: B008 (frozen)
    with_bank: bool = False,
    progress: Progress = no_progress,
) -> Systems:
    """The teacher where the pair is joint, then the model of each experiment on the same task.

    A second model of a kind is named by its own name and step.
    """
    systems, first = Systems(), experiments[0]
    bank = bank_positions(first) if with_bank else np.zeros(0, dtype=np.int64)
    if first.joint:
        systems.queries[TEACHER] = repeated(first.caption_embeddings(first.caption_positions), pooling.parts)[None]
        systems.index[TEACHER] = index_of(first.audio, first.task, segments=pooling.parts)
        systems.bank[TEACHER] = repeated(first.caption_embeddings(bank), pooling.parts)
    for experiment in experiments:
        system = System(experiment.model.row)
        if system in systems.queries:
            system = System(experiment.name, step=experiment.step)
        ask = partial(queries_of, experiment, pooling=pooling, progress=progress)
        systems.queries[system] = ask(experiment.caption_positions, seeds)
        systems.index[system] = index_for(experiment, pooling.parts)
        systems.seen[system] = experiment.seen
        if experiment.model.sampled:
            systems.samplers[system] = experiment.sampler.describe()
        if with_bank:
            systems.bank[system] = ask(bank, seeds[:1])[0]
    return systems


def num_queries(experiments: Sequence[Experiment], num_seeds: int, with_bank: bool = False) -> int:
    """How many captions `make_systems` reports as finished, with every sampling seed and model."""
    bank = len(bank_positions(experiments[0])) if with_bank else 0
    generating = [each for each in experiments if not isinstance(each.model, CaptionProjector)]
    return sum(len(each.caption_positions) * num_seeds + bank for each in generating)


def index_for(experiment: Experiment, segments: int = 1) -> Tensor:
    """The tracks (N, D), or their parts side by side, in the space of the model's queries."""
    model = experiment.model
    if isinstance(model, CaptionProjector):
        return projected_index(model, experiment.audio, experiment.task, segments)
    return index_of(experiment.audio, experiment.task, model.centre, segments)


def queries_of(
    experiment: Experiment,
    positions: np.ndarray,
    seeds: Sequence[int],
    pooling: Pooling = Pooling(),  # noqa: B008 (frozen)
    progress: Progress = no_progress,
) -> Tensor:
    """The model's queries (S, Q, D) for captions of the text store."""
    model, text = experiment.model, experiment.text
    if isinstance(model, CaptionProjector):
        return projected_queries(model, text, positions, pooling.parts)
    to_queries = partial(make_queries, centre=model.centre, **asdict(pooling))
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
