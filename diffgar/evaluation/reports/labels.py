"""Words beside lines and points that cover neither each other nor what they name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from matplotlib.typing import ColorType

from diffgar.evaluation.reports.layout import NAME_WIDTH
from diffgar.evaluation.reports.wrapping import wrapped

DARKER = 0.7  # of its line's colour, so that a small word is read
LEADER, GAP = 11, 5  # points: from the axes to a name's marker, and from there to the name
PLACES: list[dict[str, Any]] = [  # of a word beside its point, in the order of preference
    {"position": (4 * x, 4 * y), "ha": ("right", "center", "left")[x + 1], "va": ("top", "center", "bottom")[y + 1]}
    for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
]


class Word(NamedTuple):
    """A word beside the point (x, y) of the data."""

    x: float
    y: float
    text: str
    colour: ColorType


def label_ends(figure: Figure, axes: Axes, lines: Sequence[Line2D]) -> None:
    """Each line's name right of the axes, as near to the height of the line's end as the other names allow.

    A dotted line leads from the end to the name, so that ends that lie on each other can be told apart.
    """
    texts = [_beside(axes, wrapped(str(line.get_label()), NAME_WIDTH)) for line in lines]
    _settle(figure)
    box = axes.get_window_extent()
    ends = axes.transData.transform([np.asarray(line.get_xydata())[-1] for line in lines])  # (lines, 2) in pixels
    heights = np.array([text.get_window_extent().height for text in texts])
    right = box.x1 + LEADER * figure.dpi / 72
    for line, end, text, y in zip(lines, ends, texts, spread(ends[:, 1], heights, box.y0, box.y1), strict=True):
        (x0, y0), (x1, y1) = axes.transAxes.inverted().transform([end, (right, y)])
        leader = Line2D([x0, x1], [y0, y1], transform=axes.transAxes, clip_on=False, linewidth=0.7, linestyle=":")
        leader.set(color=line.get_color(), marker=line.get_marker(), markevery=[1])
        axes.add_artist(leader)
        text.xy = (1, y1)


def nest(lines: Sequence[Line2D]) -> None:
    """Lines that lie on each other are drawn one within another, the first ones wider: the last four can be seen."""
    points = [line.get_xydata() for line in lines]
    for place, line in enumerate(lines):
        covers = min(3, sum(np.array_equal(points[place], other) for other in points[place + 1 :]))
        line.set(linewidth=line.get_linewidth() + covers, markersize=line.get_markersize() + 1.5 * covers)


def spread(wanted: np.ndarray, heights: np.ndarray, low: float, high: float) -> np.ndarray:
    """Centres (n,) of boxes of these heights that keep between low and high, touch at most, and lie near the wanted.

    The sum of the squared distances from the wanted places is the least: with the heights of the boxes below taken off,
    the places in order may only rise, so that this is an isotonic regression (its min-max formula).

        spread([5, 5], [2, 2], 0, 10) == [6, 4]
        spread([0, 9], [2, 2], 0, 10) == [1, 9]
    """
    order = np.lexsort((-np.arange(len(wanted)), wanted))  # from the lowest; of equals the first stands highest
    stacked = np.cumsum(heights[order]) - heights[order] / 2  # (n,) the centres when all stand on each other, from 0
    loose = wanted[order] - stacked
    n = len(loose)
    rising = [max(min(loose[j : k + 1].mean() for k in range(i, n)) for j in range(i + 1)) for i in range(n)]
    centres = np.empty(n)
    centres[order] = np.clip(rising, low, max(low, high - heights.sum())) + stacked
    return centres


def label_points(figure: Figure, axes: Axes, words: Sequence[Word], lines: Sequence[np.ndarray]) -> None:
    """Words beside their points, where they cover neither a point nor a word, and if there is such a place no line.

    lines: the corners (points, 2) of each. A word that finds no room is left out.
    """
    _settle(figure)
    frame = axes.get_window_extent()
    taken = [_square(point) for line in lines for point in axes.transData.transform(line)]
    strokes = np.concatenate([_along(axes.transData.transform(line)) for line in lines])  # (steps, 2)
    for word in words:
        text = axes.annotate(word.text, (word.x, word.y), xytext=(0, 0), textcoords="offset points", fontsize=6)
        text.set_color(_darker(word.colour))
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])  # read across a line
        box = _place(text, frame, taken, strokes)
        if box is None:
            text.remove()
        else:
            taken.append(box)


def _place(text: Annotation, frame: Bbox, taken: Sequence[Bbox], strokes: np.ndarray) -> Bbox | None:
    """Move a word to the best of its places, and return its box there; None if it has none."""
    best, fewest = None, len(strokes) + 1
    for place in PLACES:
        text.set(**place)
        box = text.get_window_extent().padded(1.5)
        crossed = np.all((box.min <= strokes) & (strokes <= box.max), axis=1).sum()
        inside = np.all(frame.min <= box.min) and np.all(box.max <= frame.max)
        if crossed < fewest and inside and not any(box.overlaps(other) for other in taken):
            best, fewest = (place, box), crossed
    if best is None:
        return None
    text.set(**best[0])
    return best[1]


def _beside(axes: Axes, name: str) -> Annotation:
    room: dict[str, Any] = {"xytext": (LEADER + GAP, 0), "textcoords": "offset points", "annotation_clip": False}
    return axes.annotate(name, (1, 0.5), xycoords="axes fraction", va="center", fontsize=7, **room)


def _darker(colour: ColorType) -> tuple[float, float, float]:
    red, green, blue = to_rgb(colour)
    return DARKER * red, DARKER * green, DARKER * blue


def _settle(figure: Figure) -> None:
    """Lay the figure out and keep it so: places in it can be measured from here on."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _square(point: np.ndarray) -> Bbox:
    return Bbox.from_extents(*(point - 2), *(point + 2))


def _along(corners: np.ndarray) -> np.ndarray:
    """Twenty points on each stretch of a line (points, 2)."""
    steps = np.linspace(0, 1, 20)[:, None, None]
    return (corners[:-1] + steps * (corners[1:] - corners[:-1])).reshape(-1, 2)
