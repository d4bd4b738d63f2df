"""A table of ready cells, as text, Markdown, LaTeX (booktabs) and CSV; the same rows give the same bytes."""

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from diffgar.errors import InputError
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.reports.wrapping import wrapped

WIDTH = 100  # letters in a line of a text table
NAME_WIDTH, HEAD_WIDTH = 30, 10  # letters in a line of what a row is, and of a head, where all is too wide
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
LATEX |= {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$", "→": r"$\to$", "×": r"$\times$"}
MARKDOWN = str.maketrans({letter: "\\" + letter for letter in "\\|_*`"})


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows of ready cells, and the lines below that say what was compared.

    keys: how many of the first columns say what a row is. A text table that is too wide for a line continues below,
    with those columns again.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    keys: int = 1

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"table {self.title!r}: {len(row)} cells in row {row[0]!r}, {len(self.header)} heads")


def render(table: Table, style: str = "text") -> str:
    """A table as `text`, `markdown`, `latex` or `csv`, ending in a newline."""
    if style not in STYLES:
        raise InputError(f"unknown table style {style!r}; choose one of {', '.join(STYLES)}")
    return STYLES[style](table)


def format_cell(metric: Summary, num_seeds: int = 1, digits: int = 1, interval: bool = True) -> str:
    """`mean ± std [low, high]`, without ± for one seed and without an interval where there is none or none is asked."""
    text = f"{metric.mean:.{digits}f}"
    if num_seeds > 1:
        text += f" ± {metric.std:.{digits}f}"
    if interval and metric.low != metric.high:
        text += f" [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"
    return text


def _text(table: Table) -> str:
    rows = _fitted(table)
    widths, lines = _widths(rows), textwrap.wrap(table.title, WIDTH)
    for block in _blocks(widths, table.keys):
        header, *body = (_padded(row, widths, block) for row in rows)
        rule = "-" * _width([widths[column] for column in block])
        lines += [rule, *header, rule, *(line for row in body for line in row)]
    notes = [part for note in table.notes for part in textwrap.wrap(note, WIDTH)]
    return "\n".join([*lines, rule, *notes]) + "\n"


def _fitted(table: Table) -> list[tuple[str, ...]]:
    """The header and the rows; where they are too wide, with line breaks in names, in heads, then before intervals.

    An interval then stands below its number: first in the longest cells, in others only while all is still too wide.
    """
    rows, keys = [table.header, *table.rows], table.keys
    if _width(_widths(rows)) <= WIDTH:
        return rows
    names = [tuple(wrapped(cell, NAME_WIDTH, indent="  ") for cell in row[:keys]) for row in rows]
    heads, *numbers = (row[keys:] for row in rows)
    for most in range(max((len(cell) for row in numbers for cell in row), default=0), -1, -1):
        broken = [tuple(cell.replace(" [", "\n[") if len(cell) > most else cell for cell in row) for row in numbers]
        room = _widths([("",) * len(heads), *broken])
        wrapped_heads = tuple(wrapped(head, max(width, HEAD_WIDTH)) for head, width in zip(heads, room, strict=True))
        rows = [name + row for name, row in zip(names, [wrapped_heads, *broken], strict=True)]
        if _width(_widths(rows)) <= WIDTH:
            break
    return rows


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column: that of its longest line."""
    return [max(len(line) for cell in column for line in cell.split("\n")) for column in zip(*rows, strict=True)]


def _width(widths: Sequence[int]) -> int:
    """The width of a line of columns, with two spaces between them."""
    return sum(widths) + 2 * (len(widths) - 1)


def _padded(cells: Sequence[str], widths: Sequence[int], columns: Sequence[int]) -> list[str]:
    """Some of a row's cells as lines of text, each cell as wide as its column."""
    lines = zip_longest(*(cells[column].split("\n") for column in columns), fillvalue="")
    chosen = [widths[column] for column in columns]
    return ["  ".join(map(str.ljust, parts, chosen)).rstrip() for parts in lines]


def _blocks(widths: Sequence[int], keys: int) -> list[list[int]]:
    """Column numbers in blocks that fit a line, each with the first `keys` columns and at least one more."""
    first = list(range(keys))
    blocks = [[*first]]
    for column in range(keys, len(widths)):
        block = [*blocks[-1], column]
        if _width([widths[each] for each in block]) > WIDTH and len(blocks[-1]) > keys:
            blocks.append([*first, column])
        else:
            blocks[-1] = block
    return blocks


def _markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.translate(MARKDOWN) for cell in cells) + " |"

    rule = "|" + "---|" * len(table.header)
    lines = [f"**{table.title.translate(MARKDOWN)}**", "", line(table.header), rule, *map(line, table.rows)]
    return "\n".join(lines + [text for note in table.notes for text in ("", note.translate(MARKDOWN))]) + "\n"


def _latex(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"

    title, *notes = ("".join(LATEX.get(c, c) for c in text) for text in (table.title, *table.notes))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{' '.join([title + '.', *notes])}}}"]
    lines += [
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        line(table.header),
        r"\midrule",
    ]
    lines += [*map(line, table.rows), r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _csv(table: Table) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([table.header, *table.rows])
    return out.getvalue()


STYLES = {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}
