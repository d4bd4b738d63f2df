"""Composed requests of a task's split: instructions, and what is right for each among the tracks of the pool."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.composed import UNKNOWN, ComposedTruth


@dataclass(frozen=True, eq=False)
class ComposedRequests:
    """P requests. instructions: their words. values: the (attribute, new value) of each, None where it is unknown."""

    instructions: list[str]
    values: list[tuple[str, str] | None]
    truth: ComposedTruth

    @classmethod
    def of(
        cls, experiment: Experiment, triples: pd.DataFrame, attributes: Sequence[str], max_requests: int
    ) -> "ComposedRequests":
        """The triples of the task's split, at most `max_requests`, evenly spread.

        triples: see `triples.TRIPLE`. attributes: the tracks' columns of ground truth. Raises InputError for a clip
        that is not in the pool, unless it is one of the missing tracks that the config allows; and where none is left.
        """
        task = experiment.task
        triples = triples[triples["split"] == task.split]
        position_of = {track: position for position, track in enumerate(task.track_ids)}
        ends = triples[["source_clip_id", "target_clip_id"]].astype(str)
        unknown = sorted(set(ends.to_numpy().ravel()) - position_of.keys() - set(task.missing))
        if unknown:
            raise InputError(
                f"task {task.name}: its requests name {len(unknown)} clips that are not in split {task.split!r} of the "
                f"pool, first {unknown[0]!r}; extract them, or leave the requests out by task.requests.where"
            )
        there = ends.isin(position_of.keys()).all(axis=1)
        triples, ends = triples[there], ends[there]
        if triples.empty:
            raise InputError(
                f"task {task.name}: no request in split {task.split!r}; choose another task.split, or another table"
            )
        chosen = np.unique(np.linspace(0, len(triples) - 1, min(max_requests, len(triples))).astype(int))
        sources, targets = (
            torch.tensor([position_of[clip] for clip in ends[column].iloc[chosen]]) for column in ends.columns
        )
        table = experiment.audio.rows.iloc[experiment.track_positions][list(attributes)].reset_index(drop=True)
        asked = triples.iloc[chosen]
        truth = truth_of(sources, targets, table, list(asked["primary_axis"]), list(asked["preservation_axes"]))
        values = [
            None if change == UNKNOWN else (attributes[change], str(table.iloc[target, change]))
            for change, target in zip(truth.changed.tolist(), targets.tolist(), strict=True)
        ]
        return cls([str(each) for each in asked["primary_edit"]], values, truth)

    def __len__(self) -> int:
        return len(self.instructions)


def truth_of(
    sources: Tensor, targets: Tensor, table: pd.DataFrame, changed: Sequence[str], kept: Sequence[Sequence[str]]
) -> ComposedTruth:
    """The truth of P requests; table: one row per track, one column per attribute, missing cells being unknown.

    changed, kept: names of attributes; those that are no column are left out.
    """
    columns = list(table.columns)
    codes = np.stack([pd.factorize(table[name], sort=True)[0] for name in columns] or [np.zeros(len(table))], axis=1)
    known = torch.tensor(codes).long()  # (N, A), one empty attribute where there are none
    change = torch.tensor([columns.index(name) if name in columns else UNKNOWN for name in changed])
    change[known[targets, change.clamp(min=0)] == UNKNOWN] = UNKNOWN
    stays = torch.tensor([[name in names for name in columns] or [False] for names in kept])
    return ComposedTruth(sources, targets, known, change, stays & (known[sources] != UNKNOWN))
