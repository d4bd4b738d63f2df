"""Results as JSON, one protocol per file: `results/<model_name>/<task>/<kind>-<step>-<protocol>[-<tag>].json`.

The tag is what the evaluation was asked for beyond the defaults (see `names.py`). A result overwrites its own file
alone: where that name is taken by another protocol or by another model of the same name, it gets the next number.
"""

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from diffgar.errors import InputError
from diffgar.evaluation.report import Metrics, System
from diffgar.evaluation.reports.json_form import rows_as_json, rows_from_json, summary_as_json
from diffgar.evaluation.reports.names import dotted, tag_of
from diffgar.evaluation.reports.versions import versions

log = logging.getLogger(__name__)
SCHEMA = 2
KINDS = ("retrieval", "fidelity", "control")
MODEL = (  # the parts of a config that make the model: two of one name may differ in them
    *("backbone", "objective", "module", "noise_scheduler", "optimizer", "lr_scheduler"),
    *("num_frames", "batch_size", "ema_decay", "seed"),
)
FIRST = ("kind", "model_name", "task", "step", "asked_step", "variant", "differences", "protocol")  # in its JSON
LAST = ("versions", "config")


@dataclass(frozen=True)
class Result:
    """One evaluation of one model on one task at one step under one protocol.

    kind: `retrieval`, `fidelity` or `control`. protocol: all that decides whether two results compare, its `name`
    first. rows: system → metric → summary. asked_step: how the step was asked for, as `best`, `last` or its number.
    differences: what was asked for beyond the defaults; variant: the user's own word for it. config: that of
    the model and the evaluation. versions: those of the code. extra: further JSON parts, such as `paired`.
    """

    kind: str
    model_name: str
    task: str
    step: int | str
    protocol: dict[str, Any]
    rows: dict[System, Metrics]
    variant: str | None = None
    asked_step: int | str | None = None
    differences: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of result {self.kind!r}; choose one of {', '.join(KINDS)}")
        if "name" not in self.protocol:
            raise ValueError(f"{self.model_name} on {self.task}: the protocol has no name; say which one it is")

    @property
    def tag(self) -> str:
        """What it was asked for beyond the defaults, as its file's name has it; empty where there is nothing."""
        return tag_of(self.protocol, self.differences, self.variant)

    @property
    def label(self) -> str:
        """Model, step and tag: its name in a table of several results."""
        return f"{self.model_name}@{self.step}" + (f", {self.tag}" if self.tag else "")

    def path(self, folder: str | Path, number: int = 1) -> Path:
        """Its path under a results folder; number: counts results that share a name, from 1."""
        parts = [self.kind, str(self.step), self.protocol["name"], self.tag, str(number) if number > 1 else ""]
        return Path(folder) / self.model_name / self.task / ("-".join(filter(None, parts)) + ".json")

    def same_evaluation(self, other: "Result") -> bool:
        """Whether it may take the other's place: the same evaluation of the same model, perhaps by other code."""
        return not (self._about() != other._about() or other_model(self, other))

    def seeds_of(self, system: System) -> int:
        """How many sampling seeds a system's numbers are the mean of."""
        return self.protocol.get("seeds", {}).get(system.label, 1)

    def _about(self) -> list[Any]:
        """What two results of the same evaluation have in common, as JSON has it."""
        return json.loads(json.dumps([self.protocol, self.variant, self.differences]))


def write_result(folder: str | Path, result: Result, queries: pd.DataFrame | None = None) -> Path:
    """Write a result, and its per-query ranks beside it as `….queries.parquet`; returns the JSON's path.

    Atomic: a killed run leaves the old file or the new one. A file of another evaluation stays, and this one gets the
    next number (see `Result.same_evaluation`). Refuses NaN and infinite numbers (ValueError).
    """
    path, before = place_for(folder, result)
    if before and before.asked_step == "best" and result.asked_step == result.step:
        result = replace(result, asked_step="best")  # asked for by its number since; still the best
    content = {"schema": SCHEMA} | {name: getattr(result, name) for name in FIRST} | rows_as_json(result.rows)
    content |= result.extra | {"versions": result.versions or versions(), "config": result.config}
    try:
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError as error:
        raise ValueError(f"{path}: a metric is NaN or infinite; the result was not written") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    if queries is not None:
        _replace(queries_path(path), lambda part: queries.to_parquet(part, index=False))
    _replace(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path


def place_for(folder: str | Path, result: Result) -> tuple[Path, Result | None]:
    """The first path that is free or holds this very evaluation, and the result that it holds."""
    number = 1
    while True:
        path = result.path(folder, number)
        if not path.exists():
            break
        try:
            before = read_result(path)
        except InputError:
            before = None  # not a result of this version: it stays as it is
        if before and before.same_evaluation(result):
            return path, before
        number += 1
    if number > 1:
        log.warning("%s has another evaluation; this one is %s", result.path(folder), path.name)
    return path, None


def other_model(first: Result, second: Result) -> bool:
    """Whether two results of one name and step are of different models, because the folder was trained anew."""
    ours, theirs = dotted(first.config), dotted(second.config)
    both = (key for key in ours.keys() & theirs.keys() if key.partition(".")[0] in MODEL or key == "encoder_pair.name")
    return any(ours[key] != theirs[key] for key in both)


def read_results(folder: str | Path, kind: str | None = None) -> list[Result]:
    """Every result under a folder, of one kind or all, sorted by path; its tables/ have been made of results."""
    paths = (path for path in sorted(Path(folder).rglob("*.json")) if path.parent != Path(folder) / "tables")
    return [result for result in map(read_result, paths) if kind in (None, result.kind)]


def read_result(path: str | Path) -> Result:
    """One result; refuses (InputError) another schema and files that are not results, by path."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a result ({error}); delete it and evaluate again") from error
    if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
        raise InputError(f"{path}: not a result of schema {SCHEMA}; delete it and evaluate again")
    try:
        rows = rows_from_json(content.pop("systems"), content.pop("rows"))
        known = {name: content.pop(name) for name in (*FIRST, *LAST)}
        return Result(rows=rows, **known, extra=content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a result ({error!r}); delete it and evaluate again") from error


def config_value(result: Result, key: str) -> str:
    """A dotted key of the result's config, as a word: of a `_target_` its last part. Refuses absent keys."""
    value: Any = result.config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise InputError(
                f"{result.model_name}@{result.step} on {result.task}: its config has no {key}; evaluate it again"
            )
        value = value[part]
    return str(value).rpartition(".")[2] if key.endswith("_target_") else str(value)


def tidy(results: Sequence[Result], keys: Sequence[str] = ()) -> pd.DataFrame:
    """One line per number: model_name, task, kind, protocol, step, tag, the config's `keys`, row, metric, values."""
    lines = []
    for result in results:
        where: dict[str, Any] = {"model_name": result.model_name, "task": result.task, "kind": result.kind}
        where |= {"protocol": result.protocol["name"], "step": result.step, "tag": result.tag}
        where |= {key: config_value(result, key) for key in keys}
        for system, metrics in result.rows.items():
            for name, summary in metrics.items():
                lines.append(where | {"row": system.label, "metric": name} | summary_as_json(summary))
    return pd.DataFrame(lines)


def queries_path(path: str | Path) -> Path:
    """Where the per-query ranks of a result lie."""
    return Path(path).with_suffix(".queries.parquet")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file by what `write` writes, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
    except OSError as error:
        part.unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # a full disk does not say which
        raise
    os.replace(part, path)
