"""A control result as a table and as a figure: what is given up against what is gained."""

from pathlib import Path
from typing import Any

import pandas as pd

from diffgar.evaluation.control.strengths import labels_along
from diffgar.evaluation.report import Metrics, System
from diffgar.evaluation.reports.figures import tradeoff_figure
from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.reports.table_styles import Table, format_cell
from diffgar.evaluation.reports.tables import notes_of

METRICS = (
    "gained@10",
    "kept@10",
    "cos_start",
    "share@10",
    "R@1",
    "R@5",
    "R@10",
    "precision@10",
    "HNSR@10",
    "TFR@10",
    "overlap@10",
    "cos_caption",
    "cos_attribute",
)
WITH_INTERVAL = ("gained@10", "kept@10", "share@10", "R@1", "R@5", "R@10", "precision@10", "HNSR@10")

MEANINGS = {
    "gained@10": "share of the top 10 that has the new value",
    "kept@10": "share that has the caption's other values",
    "share@10": "share of the top 10 that has the unwanted attribute (less is better)",
    "R@10": "of the right track (it lacks the attribute, so that dropping those that have it alone raises this)",
    "HNSR@10": "the right track is among the first 10 and the first track that has the attribute, unsteered, is not",
    "TFR@10": "the same with the right track as the very first",
}
OF_COMPOSED = {
    "gained@10": "share of the top 10 that has the new value of what changes",
    "kept@10": "share that has the source's values of what stays",
    "precision@10": "share that has all of these; the row truth is the most that there is",
    "R@10": "of the one target; the source is not ranked",
}


def control_table(result: Result) -> Table:
    """One method at one strength per line, in the order they were evaluated."""
    composed = result.protocol.get("control") == "composed"
    what, meanings = ("requests", OF_COMPOSED) if composed else ("pairs", MEANINGS)
    metrics = [metric for metric in METRICS if metric in start_of(result)]
    rows = [(system.label, *(_cell(found, metric) for metric in metrics)) for system, found in result.rows.items()]
    notes = (
        f"{result.protocol[f'num_{what}']} {what}, pool of {result.protocol['pool_size']}; per cent, cosines × 100.",
        "[95 % bootstrap interval by track].",
        *(f"{metric}: {meanings[metric]}." for metric in metrics if metric in meanings),
        *notes_of(result),
        *(round_trip(*trip) for trip in result.extra.get("round_trips", {}).items()),
    )
    return Table(f"{result.task}, {result.model_name}@{result.step}, control", ("method", *metrics), tuple(rows), notes)


def start_of(result: Result) -> Metrics:
    """The metrics of the first row, which is what was there before: not steered, or not edited."""
    return next(iter(result.rows.values()))


def _cell(found: Metrics, metric: str) -> str:
    """A metric of a row; a dash where its space has no such metric."""
    return format_cell(found[metric], interval=metric in WITH_INTERVAL) if metric in found else "–"


def round_trip(guidance: str, errors: dict[str, float]) -> str:
    """The line below a table of edits: the error of inverting and generating again at a guidance scale."""
    return f"round trip at {guidance}, relative error: " + ", ".join(f"{k} {v:.1e}" for k, v in errors.items())


def control_figure(path: Path, result: Result) -> list[Path]:
    """Each method's curve over its strengths; those of `from_plain` begin at the first row, before any steering."""
    start = start_of(result)
    axes = ("gained@10", "kept@10") if "gained@10" in start else ("share@10", "R@10")
    curves: dict[str, list[System]] = {}
    for system in result.rows:
        curves.setdefault(system.name, []).append(system)
    tables = {}
    for method, systems in curves.items():
        labels = labels_along([system.strength for system in systems])
        points = [_point(label, result.rows[system], *axes) for label, system in zip(labels, systems, strict=True)]
        if method in result.extra["from_plain"]:
            points.insert(0, _point("", start, *axes))
        tables[method] = pd.DataFrame(points)
    return tradeoff_figure(path, tables, *(f"{axis} (per cent)" for axis in axes))


def _point(label: str, metrics: Metrics, x: str, y: str) -> dict[str, Any]:
    """One point of a curve and its intervals, as `tradeoff_figure` takes them."""
    values: dict[str, Any] = {"label": label, "x": metrics[x].mean, "y": metrics[y].mean}
    for side, summary in (("x", metrics[x]), ("y", metrics[y])):
        values |= {f"{side}_low": summary.low, f"{side}_high": summary.high}
    return values
