"""Figures can be read, also in grey and by the colour-blind: plain numbers, words that cover nothing, many looks."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from diffgar.evaluation.reports import figures
from diffgar.evaluation.reports.labels import spread
from diffgar.evaluation.reports.layout import PAGE_WIDTH, STYLE

NAMES = [
    *("gdr", "teacher", "regression", "contrastive", "student", "student, 1 call", "ridge (centred)", "truth filter"),
    *("a tuned model with four calls", "another encoder pair, zero shot, with the long prompt", "dit_base", "$5"),
    "unet_base_v_prediction_min_snr_zero_terminal_snr",
]
DEUTERANOPIA = np.array(  # of linear RGB: Machado, Oliveira & Fernandes 2009, severity 1
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, D65


def drawn(monkeypatch, draw, *arguments):
    """The figure that a function draws, with its layout settled."""
    kept = []
    monkeypatch.setattr(figures, "save", lambda figure, path: kept.append(figure))
    draw("unused", *arguments)
    kept[0].draw_without_rendering()
    return kept[0]


def ranks(num_rows: int, pool_size: int) -> pd.DataFrame:
    """The same ranks in every row, so that all curves lie on each other."""
    numbers = np.random.default_rng(0).integers(1, pool_size + 1, 50)
    return pd.concat([pd.DataFrame({"row": name, "seed": 0, "rank": numbers}) for name in NAMES[:num_rows]])


def curves(num_rows: int, same: bool = False) -> dict[str, pd.DataFrame]:
    """Five points in each row, wherever chance puts them, or all in the same places."""
    numbers = np.random.default_rng(0).random((num_rows, 2, 5))
    words = ["0.5", "0.75", "1", "2", "3"]
    return {
        name: pd.DataFrame({"x": x, "y": y, "label": words})
        for name, (x, y) in zip(NAMES, numbers[:1].repeat(num_rows, axis=0) if same else numbers, strict=False)
    }


def ticks(figure) -> list[Text]:
    """The numbers along the x axis that are seen."""
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    return [text for text in axes.get_xticklabels() if low <= text.get_position()[0] <= high]


def words_of(figure) -> list[Text]:
    """All that is written beside the points, beside the axes, above them and along the x axis."""
    axes = figure.axes[0]
    legend = axes.get_legend()
    rows = legend.get_texts() if legend else []
    words = [*axes.texts, *rows, *figure.texts, *ticks(figure), axes.xaxis.label, axes.yaxis.label]
    return [word for word in words if word.get_text()]


def require_readable(figure) -> None:
    boxes = {word: word.get_window_extent() for word in words_of(figure)}
    for word, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, word
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, word
    for (word, box), (other, its_box) in itertools.combinations(boxes.items(), 2):
        assert not box.padded(-0.1).overlaps(its_box), (word, other)  # they may touch


def written_beside(figure) -> list[str]:
    """The names of rows, each in one line again."""
    axes = figure.axes[0]
    texts = axes.get_legend().get_texts() if axes.get_legend() else axes.texts
    return [text.get_text().replace("_\n", "_").replace("\n", " ") for text in texts]


DRAWINGS = {
    "recall": lambda n: (figures.recall_figure, ranks(n, 600), 600),
    "recall of a tiny pool": lambda n: (figures.recall_figure, ranks(n, 3), 3),
    "ranks": lambda n: (figures.rank_figure, ranks(n, 600), 600),
    "ranks of a large pool": lambda n: (figures.rank_figure, ranks(n, 200_000), 200_000),
    "steps": lambda n: (figures.curve_figure, {k: v.assign(x=v["x"] * 1e6) for k, v in curves(n).items()}, "step", "y"),
    "steps that coincide": lambda n: (figures.curve_figure, curves(n, same=True), "step", "R@10"),
    "trade-off": lambda n: (figures.tradeoff_figure, curves(n), "share@10 (per cent)", "R@10 (per cent)"),
    "trade-off that coincides": lambda n: (figures.tradeoff_figure, curves(n, same=True), "a", "b"),
    "map": lambda n: (figures.map_figure, dict.fromkeys(NAMES[:n], np.eye(2)), np.zeros(2), np.eye(2), "A title " * 40),
}


@pytest.mark.parametrize("num_rows", [1, 2, 6, 12, 13])
@pytest.mark.parametrize("name", DRAWINGS)
def test_every_row_is_named_and_no_word_covers_another_or_leaves_the_figure(monkeypatch, name, num_rows):
    figure = drawn(monkeypatch, *DRAWINGS[name](num_rows))
    require_readable(figure)
    assert set(NAMES[:num_rows]) <= set(written_beside(figure))


@pytest.mark.parametrize("num_rows", [1, 6, 12])
@pytest.mark.parametrize("name", DRAWINGS)
def test_the_names_of_rows_stand_beside_the_axes(monkeypatch, name, num_rows):
    figure = drawn(monkeypatch, *DRAWINGS[name](num_rows))
    axes = figure.axes[0]
    words = axes.get_legend().get_texts() if axes.get_legend() else axes.texts
    assert all(word.get_window_extent().x0 > axes.bbox.x1 for word in words)


@pytest.mark.parametrize(
    ("draw", "num_rows", "pool_size", "expected"),
    [
        (figures.recall_figure, 2, 600, [1, 2, 5, 10, 20, 50, 100]),
        (figures.recall_figure, 12, 20000, [1, 2, 5, 10, 20, 50, 100]),
        (figures.recall_figure, 2, 7, [1, 2, 5]),
        (figures.rank_figure, 2, 7, [1, 2, 5]),
        (figures.rank_figure, 12, 600, [1, 2, 5, 10, 20, 50, 100, 200, 500]),
        (figures.rank_figure, 2, 600, [1, 10, 100]),  # one column has no room for more
        (figures.rank_figure, 12, 20000, [1, 10, 100, 1000, 10000]),
    ],
)
def test_logarithmic_axes_have_plain_numbers(monkeypatch, draw, num_rows, pool_size, expected):
    texts = ticks(drawn(monkeypatch, draw, ranks(num_rows, pool_size), pool_size))
    assert [text.get_text() for text in texts] == [str(number) for number in expected]


def test_few_rows_fit_one_column_and_many_or_long_ones_both(monkeypatch):
    width = {
        num_rows: drawn(monkeypatch, figures.recall_figure, ranks(num_rows, 60), 60).get_figwidth()
        for num_rows in (2, 6, 8)
    }
    assert width == {2: 3.23, 6: 3.23, 8: PAGE_WIDTH}
    long = drawn(monkeypatch, figures.curve_figure, {"a name of many, many letters": curves(1)["gdr"]}, "x", "y")
    assert long.get_figwidth() == PAGE_WIDTH


@pytest.mark.parametrize(
    "title",
    ["a very slow and melancholic piece, with a choir that enters later, and drums " * 5, "W" * 300, "$5 or $6"],
)
def test_a_title_stays_inside_the_figure(monkeypatch, title):
    figure = drawn(monkeypatch, figures.map_figure, {"real": np.eye(2)}, None, None, title)
    require_readable(figure)
    (text,) = figure.texts
    assert title.startswith(text.get_text().replace("\n", "" if "W" in title else " ").removesuffix("…").strip())


def test_labels_of_points_cover_neither_each_other_nor_points(monkeypatch):
    figure = drawn(monkeypatch, figures.tradeoff_figure, curves(8), "a", "b")
    axes = figure.axes[0]
    words = [text.get_window_extent() for text in axes.texts]
    assert len(words) > 20
    points = np.concatenate([axes.transData.transform(table[["x", "y"]]) for table in curves(8).values()])
    assert not any(box.contains(*point) for box in words for point in points)


def test_a_label_keeps_off_the_lines_where_it_can(monkeypatch):
    rising = {"gdr": pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0], "label": ["", "1", ""]})}
    figure = drawn(monkeypatch, figures.tradeoff_figure, rising, "a", "b")
    axes = figure.axes[0]
    box = axes.texts[0].get_window_extent()
    line = axes.transData.transform(np.linspace(0, 2, 500)[:, None].repeat(2, axis=1))
    assert not any(box.contains(*point) for point in line)


def test_boxes_are_spread_as_little_as_possible():
    heights = np.array([2.0, 2.0])
    assert spread(np.array([5.0, 5.0]), heights, 0, 10).tolist() == [6, 4]  # the first of equals above
    assert spread(np.array([0.0, 9.0]), heights, 0, 10).tolist() == [1, 9]
    assert spread(np.array([9.0, 3.0]), heights, 0, 10).tolist() == [9, 3]
    assert spread(np.array([10.0, 10.0]), heights, 0, 10).tolist() == [9, 7]


def test_boxes_that_are_spread_never_overlap_nor_leave_their_room():
    numbers = np.random.default_rng(0)
    for count in range(1, 13):
        wanted, heights = numbers.random(count) * 100, numbers.random(count) * 100 / count
        centres = spread(wanted, heights, 0, 100)
        order = np.argsort(centres)
        tops, bottoms = (centres + heights / 2)[order], (centres - heights / 2)[order]
        assert bottoms[0] >= -1e-9 and tops[-1] <= 100 + 1e-9
        assert (bottoms[1:] - tops[:-1] >= -1e-9).all()
        assert (np.diff(wanted[order]) >= 0).all()


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB (colours, 3)."""
    relative = rgb.clip(0, 1) @ RGB_TO_XYZ.T / RGB_TO_XYZ.sum(axis=1)
    f = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_colours_differ_for_the_colour_blind_and_rows_in_grey():
    with rc_context(fname=STYLE):
        looks = list(rcParams["axes.prop_cycle"])
    colours = list(dict.fromkeys(look["color"] for look in looks))
    stored = np.array([to_rgb(colour) for colour in colours])  # (colours, 3)
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    for seen in (linear, linear @ DEUTERANOPIA.T):
        places = lab(seen)
        distances = [np.linalg.norm(first - second) for first, second in itertools.combinations(places, 2)]
        assert min(distances) > 10  # in CIE76, where 2.3 is just noticeable
    assert len({look["marker"] for look in looks}) == len(looks) == 14
    assert {look["linestyle"] for look in looks[:7]} == {"-"} and {look["linestyle"] for look in looks[7:]} == {"--"}


def test_lines_that_lie_on_each_other_are_all_seen(monkeypatch):
    figure = drawn(monkeypatch, figures.curve_figure, curves(4, same=True), "step", "R@10")
    lines = [line for line in figure.axes[0].lines if line.get_label() in NAMES]
    for wider, narrower in itertools.pairwise(lines):
        assert wider.get_linewidth() > narrower.get_linewidth()
        assert wider.get_markersize() > narrower.get_markersize()


def test_a_figure_is_written_as_png_and_as_pdf_with_its_fonts(tmp_path):
    written = figures.curve_figure(tmp_path / "of" / "steps", curves(2), "step", "R@10")
    assert written == [tmp_path / "of" / "steps.png", tmp_path / "of" / "steps.pdf"]
    png, pdf = (path.read_bytes() for path in written)
    assert png.startswith(b"\x89PNG")
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType, embedded


def test_a_users_own_settings_do_not_change_a_figure(tmp_path):
    plain = figures.curve_figure(tmp_path / "plain", curves(2), "step", "R@10")
    with rc_context({"font.size": 20, "lines.linewidth": 9, "axes.facecolor": "red", "savefig.dpi": 30}):
        changed = figures.curve_figure(tmp_path / "changed", curves(2), "step", "R@10")
    assert [path.read_bytes() for path in plain] == [path.read_bytes() for path in changed]


def test_a_figure_without_labels_is_drawn(tmp_path):
    points = pd.DataFrame({"x": [1.0], "y": [1.0], "label": [""]})
    assert figures.tradeoff_figure(tmp_path / "one", {"plain": points}, "a", "b")[0].is_file()
