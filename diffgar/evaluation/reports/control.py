"""A control result as a table and as a figure: what is given up against what is gained."""

from itertools import compress, zip_longest
from pathlib import Path

import pandas as pd

from diffgar.evaluation.reports.figures import tradeoff_figure
from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.reports.table_styles import Table, format_cell
from diffgar.evaluation.reports.tables import notes_of

# do not start from the plain query
APART = ("plain", "truth_filter", "teacher_arithmetic", "teacher_penalty", "reprompt")
METRICS = (
    "gained@10",
    "kept@10",
    "cos_start",
    "share@10",
    "R@10",
    "overlap@10",
    "cos_caption",
    "cos_attribute",
)
WITH_INTERVAL = ("gained@10", "kept@10", "share@10", "R@10")

MEANINGS = {
    "gained@10": "share of the top 10 that has the new value",
    "kept@10": "share that has the caption's other values",
    "share@10": "share of the top 10 that has the unwanted attribute (less is better)",
    "R@10": "of the right track (it lacks the attribute, so that dropping those that have it alone raises this)",
}


def control_table(result: Result) -> Table:
    """One method and strength a line, in the order they were evaluated."""
    metrics = [metric for metric in METRICS if metric in result.rows["plain"]]
    rows = [
        (name, *(format_cell(row[metric], interval=metric in WITH_INTERVAL) for metric in metrics))
        for name, row in result.rows.items()
    ]
    notes = (
        f"{result.protocol['num_pairs']} pairs, pool of {result.protocol['pool_size']}; per cent, cosines × 100.",
        "[95 % bootstrap interval by track].",
        *(f"{metric}: {MEANINGS[metric]}." for metric in metrics if metric in MEANINGS),
        *notes_of(result),
        *(round_trip(*trip) for trip in result.extra.get("round_trips", {}).items()),
    )
    return Table(f"{result.task}, {result.model_name}@{result.step}, control", ("method", *metrics), tuple(rows), notes)


def round_trip(guidance: str, errors: dict[str, float]) -> str:
    return f"round trip at {guidance}, relative error: " + ", ".join(f"{k} {v:.1e}" for k, v in errors.items())


def control_figure(path: Path, result: Result) -> list[Path]:
    """Each method's curve over its strengths, from the plain query on."""
    x, y = ("gained@10", "kept@10") if "gained@10" in result.rows["plain"] else ("share@10", "R@10")
    plain, series = _point("plain", result.rows["plain"], x, y), {}
    for name, row in result.rows.items():
        method, _, strength = name.partition(" ")
        series.setdefault(method, [] if method in APART else [plain | {"label": ""}])
        series[method].append(_point(strength, row, x, y))
    tables = {}
    for method, points in series.items():
        tables[method] = pd.DataFrame(points).assign(label=varied([point["label"] for point in points]))
    return tradeoff_figure(path, tables, f"{x} (per cent)", f"{y} (per cent)")


def varied(labels: list[str]) -> list[str]:
    """Of strengths of several numbers, "3 1 0.3 0.9", those that are not the same at every point of the curve."""
    strengths = [label.split() for label in labels]
    columns = list(zip_longest(*(strength for strength in strengths if strength)))  # the plain query has none
    varies = [len(set(numbers)) > 1 for numbers in columns]
    if not any(varies):
        return labels
    return [" ".join(compress(strength, varies)) for strength in strengths]


def _point(label: str, row: dict, x: str, y: str) -> dict:
    values = {"label": label, "x": row[x]["mean"], "y": row[y]["mean"]}
    for side, metric in (("x", row[x]), ("y", row[y])):
        values |= {f"{side}_low": metric["low"], f"{side}_high": metric["high"]}
    return values
