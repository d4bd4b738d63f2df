"""Figures as PNG and PDF, the same data giving the same bytes: no date, no version and no display in them."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffgar.evaluation.reports.labels import Word, label_ends, label_points, nest
from diffgar.evaluation.reports.layout import STYLE, fit_title, legend_beside, log_ranks, new_figure, short_numbers

CHANCE: dict[str, Any] = {"color": "grey", "linestyle": ":", "marker": "", "label": "chance"}
MARKED = (1, 2, 5, 10, 20, 50, 100)  # k at which a curve of recall has its markers
MAP_MARKERS = ("o", "x", "^")
CROWDED = 12  # points with a word beside them, from which on they have both columns
UNDATED = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Creator": None, "Producer": None}}


def recall_figure(path: str | Path, queries: pd.DataFrame, pool_size: int, max_k: int = 100) -> list[Path]:
    """Recall against k for each row of the per-query ranks, with a band of ± std over seeds, and chance."""
    max_k = min(max_k, pool_size)
    ks = np.arange(1, max_k + 1)
    marked = [k - 1 for k in MARKED if k <= max_k]
    rows = dict(list(queries.groupby("row", sort=False)))
    with rc_context(fname=STYLE):
        figure, axes = new_figure([*rows, "chance"], "k", "R@k (per cent)")
        lines = []
        for name, table in rows.items():
            curves = np.stack([_recall(ranks["rank"].to_numpy(), ks) for _, ranks in table.groupby("seed")])
            mean = curves.mean(axis=0)  # (max_k,)
            lines += axes.plot(ks, mean, label=name, markevery=marked, clip_on=False)
            if len(curves) > 1:
                std = curves.std(axis=0, ddof=1)
                _band(axes, ks, mean - std, mean + std, lines[-1])
        (chance,) = axes.plot(ks, 100 * ks / pool_size, **CHANCE)
        axes.set(xlim=(1, max(2, max_k)), ylim=(0, 100))
        log_ranks(figure, axes, max_k)
        label_ends(figure, axes, [*lines, chance])
        nest(lines)
        return save(figure, path)


def rank_figure(path: str | Path, queries: pd.DataFrame, pool_size: int) -> list[Path]:
    """How often each rank is met, by row, in twelve bins of equal width on a logarithmic scale; chance dotted.

    A point stands in the middle of its bin.
    """
    edges = np.unique(np.geomspace(1, pool_size + 1, 13).round())
    middles = np.sqrt(edges[:-1] * (edges[1:] - 1))  # a bin holds the ranks from its edge to below the next
    rows = dict(list(queries.groupby("row", sort=False)))
    with rc_context(fname=STYLE):
        figure, axes = new_figure([*rows, "chance"], "rank", "queries (per cent)")
        lines = []
        for name, table in rows.items():
            counts = np.histogram(table["rank"], edges)[0]
            lines += axes.plot(middles, 100 * counts / len(table), label=name, clip_on=False)
        (chance,) = axes.plot(middles, 100 * np.diff(edges) / pool_size, **CHANCE)
        axes.set(xlim=(1, max(2, pool_size)), ylim=(0, None))
        log_ranks(figure, axes, pool_size)
        legend_beside(axes, [*lines, chance])
        nest(lines)
        return save(figure, path)


def curve_figure(path: str | Path, series: Mapping[str, pd.DataFrame], xlabel: str, ylabel: str) -> list[Path]:
    """Lines of y against x, such as R@10 against step or guidance scale.

    series: label → table with `x`, `y` and, where known, the interval `y_low` and `y_high`, drawn as a band.
    """
    with rc_context(fname=STYLE):
        figure, axes = new_figure(series, xlabel, ylabel)
        lines = []
        for label, table in series.items():
            table = table.sort_values("x")
            lines += axes.plot(table["x"], table["y"], label=label)
            if "y_low" in table:
                _band(axes, table["x"], table["y_low"], table["y_high"], lines[-1])
        short_numbers(axes)
        label_ends(figure, axes, lines)
        nest(lines)
        return save(figure, path)


def tradeoff_figure(path: str | Path, series: Mapping[str, pd.DataFrame], xlabel: str, ylabel: str) -> list[Path]:
    """One quality against another, such as quality against diversity over guidance, or the Pareto curve of steering.

    series: label → table with `x`, `y`, `label` of each point (the guidance scale) in the order of the line, and, where
    known, the intervals `x_low`, `x_high`, `y_low`, `y_high`, drawn as bars. A single point is drawn over the lines.
    """
    with rc_context(fname=STYLE):
        figure, axes = new_figure(series, xlabel, ylabel, crowded=sum(map(len, series.values())) > CROWDED)
        lines, words = [], []
        for label, table in series.items():
            lines += axes.plot(table["x"], table["y"], label=label, zorder=3 if len(table) == 1 else 2)
            bars: dict[str, Any] = {"color": lines[-1].get_color(), "linewidth": 0.4, "alpha": 0.6}
            if "x_low" in table:
                axes.hlines(table["y"], table["x_low"], table["x_high"], **bars)
            if "y_low" in table:
                axes.vlines(table["x"], table["y_low"], table["y_high"], **bars)
            points = zip(table["x"], table["y"], table["label"], strict=True)
            words += [Word(x, y, str(word), bars["color"]) for x, y, word in points if str(word)]
        legend_beside(axes, lines)
        nest(lines)
        label_points(figure, axes, words, [table[["x", "y"]].to_numpy(float) for table in series.values()])
        return save(figure, path)


def map_figure(
    path: str | Path,
    coordinates: Mapping[str, np.ndarray],
    query: np.ndarray | None = None,
    nearest: np.ndarray | None = None,
    title: str = "",
) -> list[Path]:
    """Points on the plane by kind, such as real and generated latents, with one query (2,) and its top 10 (k, 2)."""
    with rc_context(fname=STYLE, rc={"axes.grid": False}):
        figure, axes = new_figure([*coordinates, "its top 10", "query"], "", "")
        dots: dict[str, Any] = {"s": 7, "alpha": 0.7, "linewidths": 0.6, "rasterized": True}
        kinds = [
            axes.scatter(points[:, 0], points[:, 1], label=label, marker=marker, **dots)
            for (label, points), marker in zip(coordinates.items(), cycle(MAP_MARKERS), strict=False)
        ]
        rings: dict[str, Any] = {"s": 30, "facecolors": "none", "edgecolors": "black", "linewidths": 0.8}
        if nearest is not None:
            kinds.append(axes.scatter(*nearest.T, label="its top 10", **rings))
        star: dict[str, Any] = {"s": 70, "marker": "*", "color": "black", "edgecolors": "white", "linewidths": 0.5}
        if query is not None:
            kinds.append(axes.scatter(*query, label="query", **star))
        axes.set(xticks=[], yticks=[])
        fit_title(figure, title)
        legend_beside(axes, kinds)
        return save(figure, path)


def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write `path` with the endings .png and .pdf, making its folder; returns both."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(path.name + ending) for ending in UNDATED]
    for file, metadata in zip(written, UNDATED.values(), strict=True):
        figure.savefig(file, metadata=metadata)
    return written


def _recall(ranks: np.ndarray, ks: np.ndarray) -> np.ndarray:
    """100 · share of ranks ≤ k, for each k."""
    return 100 * np.searchsorted(np.sort(ranks), ks, side="right") / len(ranks)


def _band(axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, line: Line2D) -> None:
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
