"""Figures as PNG and PDF, the same data giving the same bytes: no date, no version and no display in them."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

STYLE = {
    "figure.figsize": (5.2, 3.6),
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": "small",
    "pdf.fonttype": 42,
    "savefig.dpi": 160,
}
NUM_COLOURS = 10  # of matplotlib's cycle, after which lines look otherwise
LOOKS = ({"marker": "o", "linestyle": "-"}, {"marker": "s", "linestyle": "--"}, {"marker": "^", "linestyle": ":"})
MOST_ABOVE = 5  # rows of a legend above the axes
TITLE_WIDTH = 70  # letters in a line of a title
OFFSETS = [  # of a word from its point, in the order of preference
    ((4 * x, 4 * y), (("right", "center", "left")[x + 1], ("top", "center", "bottom")[y + 1]))
    for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
]
UNDATED = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Creator": None, "Producer": None}}


def recall_figure(path: str | Path, queries: pd.DataFrame, pool_size: int, max_k: int = 100) -> list[Path]:
    """Recall against k for each row of the per-query ranks, with a band of ± std over seeds, and chance."""
    max_k = min(max_k, pool_size)
    ks = np.arange(1, max_k + 1)
    with rc_context(STYLE):
        figure, axes = _axes("k", "R@k (per cent)")
        for name, table in queries.groupby("row", sort=False):
            curves = np.stack([_recall(ranks["rank"].to_numpy(), ks) for _, ranks in table.groupby("seed")])
            mean = curves.mean(axis=0)  # (max_k,)
            (line,) = axes.plot(ks, mean, label=name)
            if len(curves) > 1:
                std = curves.std(axis=0, ddof=1)
                axes.fill_between(ks, mean - std, mean + std, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.plot(ks, 100 * ks / pool_size, color="grey", linestyle=":", label="chance")
        axes.set(xlim=(1, max(2, max_k)), ylim=(0, 100))
        _log_scale(axes, max_k)
        _legend(figure, axes)
        return save(figure, path)


def rank_figure(path: str | Path, queries: pd.DataFrame, pool_size: int) -> list[Path]:
    """How often each rank is met, by row, in twelve bins of equal width on a logarithmic scale; chance dotted."""
    edges = np.unique(np.geomspace(1, pool_size + 1, 13).round())
    with rc_context(STYLE):
        figure, axes = _axes("rank", "queries (per cent)")
        for name, table in queries.groupby("row", sort=False):
            counts = np.histogram(table["rank"], edges)[0]
            axes.stairs(100 * counts / len(table), edges, label=name)
        axes.stairs(100 * np.diff(edges) / pool_size, edges, color="grey", linestyle=":", label="chance")
        axes.set(xlim=(1, pool_size + 1))
        _log_scale(axes, pool_size)
        _legend(figure, axes)
        return save(figure, path)


def curve_figure(path: str | Path, series: Mapping[str, pd.DataFrame], xlabel: str, ylabel: str) -> list[Path]:
    """Lines of y against x, such as R@10 against step or guidance scale.

    series: label → table with `x`, `y` and, where known, the interval `y_low` and `y_high`, drawn as a band.
    """
    with rc_context(STYLE):
        figure, axes = _axes(xlabel, ylabel)
        for label, table in series.items():
            table = table.sort_values("x")
            (line,) = axes.plot(table["x"], table["y"], marker="o", markersize=3, label=label)
            if "y_low" in table:
                band = (table["y_low"], table["y_high"])
                axes.fill_between(table["x"], *band, color=line.get_color(), alpha=0.2, linewidth=0)
        _legend(figure, axes)
        return save(figure, path)


def tradeoff_figure(path: str | Path, series: Mapping[str, pd.DataFrame], xlabel: str, ylabel: str) -> list[Path]:
    """One quality against another, such as quality against diversity over guidance, or the Pareto curve of steering.

    series: label → table with `x`, `y`, `label` of each point (the guidance scale) in the order of the line, and, where
    known, the intervals `x_low`, `x_high`, `y_low`, `y_high`, drawn as bars.
    """
    with rc_context(STYLE):
        figure, axes = _axes(xlabel, ylabel)
        words = []
        for place, (label, table) in enumerate(series.items()):
            bars = {f"{side}err": _bars(table, side) for side in "xy" if f"{side}_low" in table}
            look = LOOKS[place // NUM_COLOURS % len(LOOKS)] | {"markersize": 4, "elinewidth": 0.3}
            line = axes.errorbar(table["x"], table["y"], label=label, **look, **bars)
            points = zip(table["x"], table["y"], table["label"], strict=True)
            words += [(x, y, str(word), line[0].get_color()) for x, y, word in points if str(word)]
        _legend(figure, axes)
        _label(figure, axes, words)
        return save(figure, path)


def map_figure(
    path: str | Path,
    coordinates: Mapping[str, np.ndarray],
    query: np.ndarray | None = None,
    nearest: np.ndarray | None = None,
    title: str = "",
) -> list[Path]:
    """Points on the plane by kind, such as real and generated latents, with one query (2,) and its top 10 (k, 2)."""
    with rc_context(STYLE | {"axes.grid": False, "axes.titlesize": "small"}):
        figure, axes = _axes("", "")
        for label, points in coordinates.items():
            axes.scatter(points[:, 0], points[:, 1], s=6, alpha=0.5, linewidths=0, label=label, rasterized=True)
        if nearest is not None:
            axes.scatter(*nearest.T, s=36, facecolors="none", edgecolors="black", label="its top 10")
        if query is not None:
            axes.scatter(*query, s=90, marker="*", color="black", label="query")
        axes.set(xticks=[], yticks=[], title=textwrap.fill(title, TITLE_WIDTH, max_lines=4, placeholder=" …"))
        _legend(figure, axes)
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


def _bars(table: pd.DataFrame, side: str) -> np.ndarray:
    """Lengths (2, points) of the bars below and above; an interval need not hold its mean."""
    below, above = table[side] - table[f"{side}_low"], table[f"{side}_high"] - table[side]
    return np.maximum(0, np.stack([below, above]))


def _log_scale(axes, largest: int) -> None:
    """A logarithmic axis of ranks whose numbers read 1, 10, 100; in a small pool 1, 2, 5, 10."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if largest > 50 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axes) -> None:
    """Outside the axes, where it hides nothing: above them, or beside them and on more room from six rows on."""
    count = len(axes.get_legend_handles_labels()[0])
    if count > MOST_ABOVE:
        figure.set_size_inches(9, 5.4)
        figure.legend(loc="outside right center")
    else:
        figure.legend(loc="outside upper center", ncols=min(count, 3))


def _label(figure: Figure, axes, words: list[tuple[float, float, str, str]]) -> None:
    """Words (x, y, word, colour) beside their points, where they cover neither a point nor a word.

    A word that finds no room is left out.
    """
    figure.draw_without_rendering()  # settles the layout, which is then kept
    figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()
    taken = [Bbox.from_extents(x - 2, y - 2, x + 2, y + 2) for x, y in axes.transData.transform([w[:2] for w in words])]
    for x, y, word, colour in words:
        text = axes.annotate(word, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=5, color=colour)
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])  # read across its own line
        for offset, (across, along) in OFFSETS:
            text.set(position=offset, ha=across, va=along)
            box = text.get_window_extent(renderer).padded(1.5)
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
        else:
            text.remove()


def _axes(xlabel: str, ylabel: str):
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes
