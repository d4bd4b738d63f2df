"""A table of ready cells, as text, Markdown, LaTeX (booktabs) and CSV; the same rows give the same bytes."""

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from diffgar.errors import InputError
from diffgar.evaluation.metrics.summary import Summary

WIDTH = 120  # letters in a line of a text table
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
    columns = list(zip(table.header, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [table.title]
    for block in _blocks(widths, table.keys):
        header, *rows = (_padded(cells, widths, block) for cells in (table.header, *table.rows))
        rule = "-" * (sum(widths[column] for column in block) + 2 * (len(block) - 1))
        lines += [rule, header, rule, *rows]
    notes = [part for note in table.notes for part in textwrap.wrap(note, WIDTH)]
    return "\n".join([*lines, rule, *notes]) + "\n"


def _padded(cells: Sequence[str], widths: Sequence[int], columns: Sequence[int]) -> str:
    """Some of a row's cells as a line of text, each as wide as its column."""
    return "  ".join(cells[column].ljust(widths[column]) for column in columns).rstrip()


def _blocks(widths: Sequence[int], keys: int) -> list[list[int]]:
    """Column numbers in blocks that fit a line, each with the first `keys` columns and at least one more."""
    first = list(range(keys))
    blocks = [[*first]]
    for column in range(keys, len(widths)):
        block = [*blocks[-1], column]
        if sum(widths[each] for each in block) + 2 * (len(block) - 1) > WIDTH and len(blocks[-1]) > keys:
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
