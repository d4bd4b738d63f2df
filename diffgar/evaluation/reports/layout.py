"""What the figures share: their sizes, their axes, and words that fit beside, below and above them."""

import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

from diffgar.evaluation.reports.wrapping import wrapped

STYLE = Path(__file__).with_name("style.mplstyle")  # of every figure: with rc_context(fname=STYLE)
PAGE_WIDTH = 6.77  # inches: both columns of an ISMIR page (17.2 cm); the style's width is one column's
MOST_IN_COLUMN = 7  # rows that one column has room for, when their names are short
SHORT = 16  # letters
NAME_WIDTH = 28  # letters in a line of a row's name
PAGE_HEIGHT, CROWDED_HEIGHT = 1.2, 1.6  # of a figure on both columns, in heights of one on one column
LINE_HEIGHT = 0.14  # inches, of a name
BELOW = 0.6  # inches, for the axis' numbers and words
TITLE_WIDTH, TITLE_LINES = 120, 4  # letters in a line at most, and lines
MOST_ON_COLUMN, MOST_ON_PAGE = 200, 5000  # ranks, where all of 1, 2, 5, 10, 20, … have room


def new_figure(names: Collection[str], xlabel: str, ylabel: str, crowded: bool = False) -> tuple[Figure, Axes]:
    """Empty axes with room for the names of their rows, on one column; on two if they are many, long or crowded."""
    width, height = rcParams["figure.figsize"]
    if crowded or len(names) > MOST_IN_COLUMN or any(len(name) > SHORT for name in names):
        width, height = PAGE_WIDTH, height * (CROWDED_HEIGHT if crowded else PAGE_HEIGHT)
    num_lines = sum(1 + wrapped(name, NAME_WIDTH).count("\n") for name in names)
    figure = Figure(figsize=(width, max(height, LINE_HEIGHT * num_lines + BELOW)))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def log_ranks(figure: Figure, axes: Axes, largest: int) -> None:
    """A logarithmic axis of ranks that reads 1, 2, 5, 10, 20, 50, …; a long one in little room reads 1, 10, 100, …"""
    most = MOST_ON_PAGE if figure.get_figwidth() >= PAGE_WIDTH else MOST_ON_COLUMN
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if largest <= most else (1.0,)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def short_numbers(axes: Axes) -> None:
    """Thousands of steps read 20k, 40k, 60k, so that they fit below one column."""
    if axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def legend_beside(axes: Axes, handles: Sequence[Artist]) -> None:
    """The rows' names right of the axes, where they hide nothing."""
    names = [wrapped(str(handle.get_label()), NAME_WIDTH) for handle in handles]
    axes.legend(handles, names, loc="upper left", bbox_to_anchor=(1.02, 1.0))


def fit_title(figure: Figure, title: str) -> None:
    """A title above the axes, in lines that the figure is wide enough for; its end is left out if it has too many."""
    text = figure.suptitle("")
    for letters in range(TITLE_WIDTH, len("… …"), -3):
        text.set_text(textwrap.fill(title, letters, max_lines=TITLE_LINES, placeholder=" …"))
        if text.get_window_extent().width <= 0.98 * figure.bbox.width:
            break
    figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * text.get_text().count("\n"))
