"""Rows of a result as JSON has them, and back: what is written here is what is read here.

    "systems": {"gdr+centring": {"name": "gdr", "correction": "centring"}, …}
    "rows": {"gdr+centring": {"R@10": {"mean": 31.2, "std": 0.4, "low": 28.9, "high": 33.6}, …}, …}

A row's label is its key in both; what it is made of stands under `systems` alone.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from diffgar.errors import InputError
from diffgar.evaluation.metrics.summary import Difference, Summary
from diffgar.evaluation.report import Metrics, System


def summary_as_json(summary: Summary) -> dict[str, float]:
    """The numbers of a summary; `n` only where it is said."""
    numbers = {"mean": summary.mean, "std": summary.std, "low": summary.low, "high": summary.high}
    return numbers if summary.n is None else numbers | {"n": summary.n}


def rows_as_json(rows: Mapping[System, Metrics]) -> dict[str, Any]:
    """The parts `systems` and `rows`. Raises InputError for two systems of one label: a file has room for one."""
    labels = [system.label for system in rows]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise InputError(f"two systems are both called {twice[0]!r}; give them other names, or strengths further apart")
    return {
        "systems": {system.label: system.describe() for system in rows},
        "rows": {
            system.label: {name: summary_as_json(summary) for name, summary in metrics.items()}
            for system, metrics in rows.items()
        },
    }


def rows_from_json(systems: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[System, Metrics]:
    """System → metric → summary. Raises TypeError or KeyError for what `rows_as_json` does not write."""
    return {
        System(**systems[label]): {name: Summary(**numbers) for name, numbers in metrics.items()}
        for label, metrics in rows.items()
    }


def paired_as_json(paired: Mapping[tuple[System, System], Mapping[str, Difference]]) -> dict[str, dict[str, Any]]:
    """The part `paired`: "gdr - teacher" → metric → the difference of the first less the second."""
    return {
        f"{first.label} - {second.label}": {name: asdict(difference) for name, difference in differences.items()}
        for (first, second), differences in paired.items()
    }
