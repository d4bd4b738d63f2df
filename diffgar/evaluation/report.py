"""The outcome of an evaluation: a report, whose rows are systems and whose cells are summaries."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import pandas as pd

from diffgar.evaluation.metrics.summary import Difference, Summary

Numbers = float | list[float]
Metrics = dict[str, Summary]


@dataclass(frozen=True)
class System:
    """One row of a results table: what was evaluated, as fields that are never read back out of its label.

    name: `chance`, `teacher`, `real`, a kind of model such as `gdr`, or a method of steering. step: the optimiser step,
    where a second model of a kind stands under its own name. pooling: in a table of several, the one that made the
    queries, unless it is the mean. correction: the hubness correction, if any. strength: name → number, or list of
    numbers, of a method of steering or of a sweep of guidance scales.

    System("gdr", correction="qb_norm") has the label "gdr+qb_norm", System("demo_student", step=500) has
    "demo_student@500", System("gdr", pooling="segments") has "gdr, segments", and
    System("compose", strength={"guidance": 2, "negative": 0.5}) has "compose 2 0.5".
    """

    name: str
    step: int | None = None
    pooling: str | None = None
    correction: str | None = None
    strength: Mapping[str, Numbers] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name in tables, figures and JSON."""
        step = "" if self.step is None else f"@{self.step}"
        pooling = "" if self.pooling is None else f", {self.pooling}"
        correction = "" if self.correction is None else f"+{self.correction}"
        return " ".join([f"{self.name}{step}{pooling}{correction}", *map(in_words, self.strength.values())])

    def describe(self) -> dict[str, Any]:
        """The fields that are set, as a result has them under `systems`: System(**system.describe()) is the same."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}

    def __hash__(self) -> int:
        return hash(self.label)


CHANCE, TEACHER, REAL = System("chance"), System("teacher"), System("real")
PLAIN = System("plain")  # what is not steered


@dataclass
class Report:
    """What an evaluator returns.

    protocol: all that decides whether two reports compare, as JSON has it. rows: system → metric → summary, in the
    order of a table. queries: per-query ranks, a table of row (the system's label), seed, query_id, rank, optimistic
    and pessimistic. extra: further parts of the result's JSON.
    """

    protocol: dict[str, Any]
    rows: dict[System, Metrics]
    queries: pd.DataFrame | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def paired(self) -> dict[tuple[System, System], dict[str, Difference]]:
        """(first, second) → metric → the difference first − second, of all rows and metrics that were bootstrapped."""
        found = {(a, b): differences(self.rows[a], self.rows[b]) for a, b in combinations(self.rows, 2)}
        return {pair: each for pair, each in found.items() if each}


def differences(first: Metrics, second: Metrics) -> dict[str, Difference]:
    """Metric → the difference first − second, of the metrics that were bootstrapped for both."""
    shared = {name: (first[name], second[name]) for name in first if name in second}
    drawn = {name: pair for name, pair in shared.items() if all(each.redraws is not None for each in pair)}
    return {name: Difference.between(*pair) for name, pair in drawn.items()}


def in_words(value: Numbers) -> str:
    """A number, or a list of them with spaces between: "2" of 2.0, "0.3 0.9" of [0.3, 0.9]."""
    return " ".join(f"{number:g}" for number in (value if isinstance(value, list) else [value]))
