"""Figures can be read: plain numbers on their axes, titles inside them, and legends and labels that cover nothing."""

import itertools
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from diffgar.evaluation.reports import figures


def drawn(monkeypatch, draw, *arguments):
    """The figure that a function draws, with its layout settled."""
    kept = []
    monkeypatch.setattr(figures, "save", lambda figure, path: kept.append(figure))
    draw("unused", *arguments)
    kept[0].draw_without_rendering()
    return kept[0]


def ranks(num_rows: int, pool_size: int) -> pd.DataFrame:
    numbers = np.random.default_rng(0).integers(1, pool_size + 1, 50)
    return pd.concat([pd.DataFrame({"row": f"row {n}", "seed": 0, "rank": numbers}) for n in range(num_rows)])


def ticks(figure) -> list[str]:
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    labels = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    return [label.get_text() for label in labels if low <= label.get_position()[0] <= high and label.get_text()]


@pytest.mark.parametrize(
    ("draw", "pool_size", "expected"),
    [
        (figures.recall_figure, 600, ["1", "10", "100"]),
        (figures.rank_figure, 600, ["1", "10", "100"]),
        (figures.rank_figure, 20000, ["1", "10", "100", "1000", "10000"]),
        (figures.recall_figure, 7, ["1", "2", "5"]),
        (figures.rank_figure, 7, ["1", "2", "5"]),
    ],
)
def test_logarithmic_axes_have_plain_numbers(monkeypatch, draw, pool_size, expected):
    assert ticks(drawn(monkeypatch, draw, ranks(2, pool_size), pool_size)) == expected


def boxes(figure):
    axes, legend = figure.axes[0], figure.legends[0]
    return axes.get_window_extent(), legend.get_window_extent()


@pytest.mark.parametrize("num_rows", [1, 3, 6, 12])
def test_a_legend_covers_no_curve(monkeypatch, num_rows):
    points = pd.DataFrame({"x": [1, 2], "y": [1.0, 2.0]})
    series = {f"row {n}": points.assign(label="") for n in range(num_rows)}
    for draw, arguments in (
        (figures.recall_figure, (ranks(num_rows, 600), 600)),
        (figures.rank_figure, (ranks(num_rows, 600), 600)),
        (figures.curve_figure, (series, "step", "R@10")),
        (figures.tradeoff_figure, (series, "a", "b")),
        (figures.map_figure, ({"real": np.eye(2)}, np.zeros(2), np.eye(2), "title")),
    ):
        axes, legend = boxes(drawn(monkeypatch, draw, *arguments))
        assert not axes.overlaps(legend), draw.__name__


def test_a_long_title_stays_inside_the_figure(monkeypatch):
    title = "a very slow and melancholic piece for solo violin, with a choir that enters later, and drums " * 4
    figure = drawn(monkeypatch, figures.map_figure, {"real": np.eye(2)}, None, None, title)
    box, whole = figure.axes[0].title.get_window_extent(), figure.bbox
    assert box.x0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1


def test_labels_of_points_cover_neither_each_other_nor_points(monkeypatch):
    numbers = np.random.default_rng(0)
    series = {
        f"method {n}": pd.DataFrame(
            {"x": numbers.random(5), "y": numbers.random(5), "label": ["0.5", "0.75", "1", "2", "3"]}
        )
        for n in range(8)
    }
    figure = drawn(monkeypatch, figures.tradeoff_figure, series, "a", "b")
    axes = figure.axes[0]
    words = [text.get_window_extent() for text in axes.texts]
    assert len(words) > 20
    assert not any(first.overlaps(second) for first, second in itertools.combinations(words, 2))
    points = np.concatenate([axes.transData.transform(table[["x", "y"]]) for table in series.values()])
    assert not any(box.contains(*point) for box in words for point in points)


def test_a_figure_without_labels_is_drawn(tmp_path):
    points = pd.DataFrame({"x": [1.0], "y": [1.0], "label": [""]})
    assert figures.tradeoff_figure(tmp_path / "one", {"plain": points}, "a", "b")[0].is_file()


def test_umap_is_asked_for_no_more_neighbours_than_there_are(monkeypatch):
    import torch

    from diffgar.evaluation.reports import maps

    class Umap:
        def __init__(self, n_neighbors, **options):
            self.n_neighbors = n_neighbors

        def fit_transform(self, every):
            assert self.n_neighbors < len(every)
            return every[:, :2]

    monkeypatch.setattr(maps, "has_umap", lambda: True)
    with mock.patch.dict("sys.modules", {"umap": mock.Mock(UMAP=Umap)}):
        real, others = maps.project_umap(torch.randn(5, 4), torch.randn(3, 4))
    assert real.shape == (5, 2) and others.shape == (3, 2)
