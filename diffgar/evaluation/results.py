"""Results as JSON, one protocol a file: `results/<model_name>/<task>/<kind>-<step>-<protocol>[-<variant>].json`."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from diffgar import __version__

SCHEMA = 1
KINDS = ("retrieval", "fidelity", "control")
PACKAGES = ("torch", "pytorch-lightning", "diffusers", "transformers", "numpy", "pandas")


@dataclass(frozen=True)
class Result:
    """One evaluation of one model on one task at one step under one protocol.

    kind: `retrieval`, `fidelity` or `control`. protocol: all that decides whether two results compare, its `name`
    first. rows: row → metric → {"mean", "std", "low", "high"}. extra: further JSON parts, such as `paired`.
    """

    kind: str
    model_name: str
    task: str
    step: int | str
    protocol: dict
    rows: dict
    variant: str | None = None
    config: dict = field(default_factory=dict)
    extra: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of result {self.kind!r}; choose one of {', '.join(KINDS)}")
        if "name" not in self.protocol:
            raise ValueError(f"{self.model_name} on {self.task}: the protocol has no name; say which one it is")

    def path(self, folder: str | Path) -> Path:
        """Where it lies under a results folder."""
        variant = f"-{self.variant}" if self.variant else ""
        name = f"{self.kind}-{self.step}-{self.protocol['name']}{variant}.json"
        return Path(folder) / self.model_name / self.task / name


def write_result(folder: str | Path, result: Result, queries: pd.DataFrame | None = None) -> Path:
    """Write a result, and its per-query ranks beside it as `….queries.parquet`; returns the JSON's path.

    Atomic: a killed run leaves the old file or the new one. Refuses NaN and infinite numbers (ValueError).
    """
    path = result.path(folder)
    content = {
        "schema": SCHEMA,
        "kind": result.kind,
        "model_name": result.model_name,
        "task": result.task,
        "step": result.step,
        "variant": result.variant,
        "protocol": result.protocol,
        "rows": result.rows,
        **result.extra,
        "versions": result.versions or versions(),
        "config": result.config,
    }
    try:
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError as error:
        raise ValueError(f"{path}: a metric is NaN or infinite; the result was not written") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    if queries is not None:
        _replace(queries_path(path), lambda part: queries.to_parquet(part, index=False))
    _replace(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path


def read_results(folder: str | Path, kind: str | None = None) -> list[Result]:
    """Every result under a folder, of one kind or all, sorted by path."""
    results = [read_result(path) for path in sorted(Path(folder).glob("*/*/*.json"))]
    return [result for result in results if kind in (None, result.kind)]


def read_result(path: str | Path) -> Result:
    """One result; refuses another schema and files that are not results, by path."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not a result ({error}); delete it and evaluate again") from error
    if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
        raise ValueError(f"{path}: not a result of schema {SCHEMA}; evaluate again with this version")
    names = ("kind", "model_name", "task", "step", "protocol", "rows", "variant", "config", "versions")
    known = {name: content.pop(name) for name in names if name in content}
    return Result(**known, extra=content)


def config_value(result: Result, key: str) -> str:
    """A dotted key of the result's config, as a word: of a `_target_` its last part. Refuses absent keys."""
    value = result.config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ValueError(
                f"{result.model_name}@{result.step} on {result.task}: its config has no {key}; evaluate it again"
            )
        value = value[part]
    return str(value).rpartition(".")[2] if key.endswith("_target_") else str(value)


def tidy(results: Sequence[Result], keys: Sequence[str] = ()) -> pd.DataFrame:
    """One line a number: model_name, task, kind, protocol, step, variant, the config's `keys`, row, metric, values."""
    lines = []
    for result in results:
        where = {"model_name": result.model_name, "task": result.task, "kind": result.kind}
        where |= {"protocol": result.protocol["name"], "step": result.step, "variant": result.variant}
        where |= {key: config_value(result, key) for key in keys}
        for row, metrics in result.rows.items():
            lines += [where | {"row": row, "metric": metric} | values for metric, values in metrics.items()]
    return pd.DataFrame(lines)


def queries_path(path: str | Path) -> Path:
    """Where the per-query ranks of a result lie."""
    return Path(path).with_suffix(".queries.parquet")


def versions() -> dict[str, str | None]:
    """What made the numbers: this package, its commit where it is run from git, Python and the packages."""
    found: dict[str, str | None] = {
        "diffgar": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):  # no git here: the version alone must do
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _replace(path: Path, write) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    write(part)
    os.replace(part, path)
