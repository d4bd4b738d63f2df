"""The rows of a retrieval table: every model's queries, and the index they search, for one task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Evaluation
from diffgar.evaluation.metrics.attributes import attribute_codes, evaluate_attributes
from diffgar.evaluation.queries import generated_queries, index_of, projected_index, projected_queries
from diffgar.evaluation.retrieval import make_queries
from diffgar.evaluation.tasks import RetrievalTask

BANK = 1000  # training captions that a hubness correction is estimated on


@dataclass
class Rows:
    """Row name → queries (S, Q, D), the index (N, D) they search, a bank (B, D) of training captions' queries, what the
    queries were sampled with, and how many of the pool's tracks the model was trained on."""

    queries: dict[str, Tensor] = field(default_factory=dict)
    index: dict[str, Tensor] = field(default_factory=dict)
    bank: dict[str, Tensor] = field(default_factory=dict)
    samplers: dict[str, dict] = field(default_factory=dict)
    seen: dict[str, int | None] = field(default_factory=dict)


def make_rows(
    settings: Sequence[Evaluation],
    seeds: Sequence[int],
    samples: str = "mean",
    pooling: str = "mean",
    with_bank: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Rows:
    """The teacher's row where the pair is joint, then one for each setting (models on the same task).

    samples, pooling: see `make_queries`. A second model of the same kind has its step and name as its row's name.
    """
    rows, first = Rows(), settings[0]
    bank = bank_rows(first) if with_bank else np.zeros(0, dtype=np.int64)
    if first.joint:
        rows.queries["teacher"] = first.text.embeddings[first.rows][None]
        rows.index["teacher"] = index_of(first.audio, first.task)
        rows.bank["teacher"] = first.text.embeddings[bank]
    for setting in settings:
        name = setting.model.row if setting.model.row not in rows.queries else f"{setting.name}@{setting.step}"
        ask = partial(queries_of, setting, samples=samples, pooling=pooling)
        rows.queries[name] = ask(setting.rows, seeds, progress=progress)
        rows.index[name] = index_for(setting)
        rows.seen[name] = setting.seen
        if setting.model.sampled:
            rows.samplers[name] = setting.sampler.describe()
        if with_bank:
            rows.bank[name] = ask(bank, seeds[:1], progress=progress)[0]
    return rows


def projects(setting: Evaluation) -> bool:
    """Whether the model projects captions into a space of its own, as `ContrastiveHeads`, instead of generating."""
    return hasattr(setting.model, "embed_text")


def index_for(setting: Evaluation) -> Tensor:
    """The tracks (N, D) in the space of the model's queries."""
    if projects(setting):
        return projected_index(setting.model, setting.audio, setting.task)
    return index_of(setting.audio, setting.task, setting.model.centre)


def queries_of(
    setting: Evaluation,
    places: np.ndarray,
    seeds: Sequence[int],
    progress: Callable[[int], None] = lambda done: None,
    **how: str,
) -> Tensor:
    """The model's queries (S, Q, D) for rows of the text store; `how`: samples and pooling of `make_queries`."""
    model, sampler, text = setting.model, setting.sampler, setting.text
    if projects(setting):
        return projected_queries(model, text, places)
    to_queries = partial(make_queries, centre=model.centre, **how)
    return generated_queries(model, sampler, text, places, model.num_frames, seeds, to_queries, progress=progress)


def bank_rows(setting: Evaluation) -> np.ndarray:
    """At most BANK training captions of the task's dataset, evenly spread. Raises InputError where it has none."""
    rows = setting.text.rows_of("train")
    if len(rows) == 0:
        raise InputError(f"task {setting.task.name}: a hubness correction needs a train split, and there is none")
    return rows[np.unique(np.linspace(0, len(rows) - 1, BANK).astype(int))]


def named_attributes(setting: Evaluation, attributes: Sequence[str] | None) -> tuple[list[set[str]], pd.DataFrame]:
    """The attributes that each caption names, and the tracks' table of attributes.

    The captions' column `named` lists them, joined by "|". Raises InputError where a column is absent, or none is asked
    for.
    """
    if not attributes:
        raise InputError(
            f"task {setting.task.name} has no ground truth to measure by; name the table's columns of it with "
            "task.attributes=[…], and in a column `named`, for each caption, those that it names, joined by |"
        )
    captions, tracks = setting.task.captions, setting.audio.rows
    refuse_absent(setting.task, setting.audio, attributes)
    named = [set(str(words).split("|")) & set(attributes) for words in captions["named"]]
    return named, tracks.iloc[setting.track_rows][list(attributes)].reset_index(drop=True)


def refuse_absent(task: RetrievalTask, audio: Store, attributes: Sequence[str]) -> None:
    """Raises InputError where a task's stores lack one of the columns of ground truth."""
    absent = [name for name in attributes if name not in audio.rows] + ["named"] * ("named" not in task.captions)
    if absent:
        raise InputError(
            f"task {task.name}: the stores have no column {absent[0]!r}, the ground truth; give it in the "
            "dataset's table and extract again, or set task.attributes=null"
        )


def attribute_rows(setting: Evaluation, rows: Rows, attributes: Sequence[str]) -> dict[str, dict]:
    """`attribute_precision@10` of every row and of chance."""
    named, tracks = named_attributes(setting, attributes)
    if not any(named):
        return {}
    codes, table = attribute_codes(named, setting.task.targets, tracks), {}
    for name, queries in rows.queries.items():
        table |= evaluate_attributes({name: queries}, rows.index[name], setting.task, *codes)
    return table


def audio_to_text(setting: Evaluation) -> Rows:
    """The teacher asked the other way: tracks search captions. Raises InputError for a pair that is not joint."""
    if not setting.joint:
        raise InputError(f"audio_to_text needs a joint pair, and {setting.pair.name} is not one")
    index = index_of(setting.audio, setting.task)
    return Rows({"teacher": index[None]}, {"teacher": setting.text.embeddings[torch.from_numpy(setting.rows)]})
