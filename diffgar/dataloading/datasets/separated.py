"""CSV and TSV → DataFrames of texts, each row named by its line. No cell is guessed at.

Rows have as many cells as the header. Cells that hold a separator, a quote or a line break stand in straight double
quotes, and quotes inside them are doubled (RFC 4180). What is written otherwise is refused with its line.
"""

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.cells import shown
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.text_files import text_of

NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
REMEDY = 'put double quotes (") round a cell that holds {separator} or a line break, and double the quotes inside it'


def read_separated(path: Path, separator: str) -> pd.DataFrame:
    """The table of a file with a header, its cells texts: the id `007` stays `007`. Blank lines are skipped.

    Raises DatasetError with the line for rows that do not fit the header, and for quotes that do not close.
    """
    lines = io.StringIO(text_of(path), newline="").readlines()
    names: list[str] = []
    places, rows, between = [], [], re.escape(separator)
    for first, last, cells in _records(lines, separator):
        if not names:
            names = _header(cells, first, separator)
            if separator + " " not in lines[first - 1]:
                between += "(?! )"  # a comma before a blank is one of prose
        elif len(cells) == len(names):
            if [cell.strip() for cell in cells] == names:
                raise DatasetError(f"{_lines(first, last)} repeats the header; leave it out")
            if last > first and len(names) > 1:
                _refuse_swallowed_rows(lines, first, last, between, len(names))
            places.append(first)
            rows.append(cells)
        elif any(cell.strip() for cell in cells) or len(cells) > 1:
            raise DatasetError(_misfit(cells, first, last, separator, names))
    index = pd.Index([f"line {place}" for place in places], dtype=object)
    return pd.DataFrame(rows, index=index, columns=unique_names(names), dtype=object)


def unique_names(names: list[str]) -> list[str]:
    """Column names that tell columns apart: `Unnamed: 0` for a blank one, `text (column 3)` where two are `text`.

    So a repeated name cannot be mapped without saying which column is meant, and does no harm where it is not mapped.
    """
    number = Counter(names)
    return [
        f"Unnamed: {i}" if not name else name if number[name] == 1 else f"{name} (column {i + 1})"
        for i, name in enumerate(names)
    ]


def _records(lines: list[str], separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line and cells of each row. Raises DatasetError where quotes are not as they should be."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    last = 0
    while True:
        first = last + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DatasetError(_quotes(lines, first, reader.line_num, str(error), separator)) from error
        if cells is None:
            return
        last = reader.line_num
        if cells:
            yield first, last, cells


def _header(cells: list[str], line: int, separator: str) -> list[str]:
    names = [cell.strip("\ufeff \t") for cell in cells]
    if any("\0" in name for name in names):
        raise DatasetError(f"line {line} holds zero bytes, as UTF-16 without its mark does; save the file as UTF-8")
    other = next((mark for mark in NAMES if mark != separator and mark in names[0]), None)
    if len(names) == 1 and other:
        suffix = {"\t": "; call it .tsv", ",": "; call it .csv"}.get(other, f"; put {NAMES[separator]} between them")
        raise DatasetError(f"line {line} is {shown(names[0])}: its cells are separated by {NAMES[other]}{suffix}")
    return names


def _misfit(cells: list[str], first: int, last: int, separator: str, names: list[str]) -> str:
    more = len(cells) > len(names)
    if any("\0" in cell for cell in cells):
        return f"{_lines(first, last)} holds zero bytes, as a file does that was not written to its end; fetch it again"
    found = f"{_lines(first, last)} has {len(cells)} cell{'s' * (len(cells) != 1)}, the header has {len(names)}"
    if len(names) <= 2 and (names[0].startswith("#") or names[0].lower().startswith("sep=")):
        return f"{found}: it is {shown(separator.join(names))}, which names no columns; take that line out"
    if more and not any(cell.strip() for cell in cells[len(names) :]):
        return f"{found}: it ends with {NAMES[separator]}; take it off, or name one more column in the header"
    remedy = REMEDY.format(separator=NAMES[separator])
    if more and any(mark in "".join(cells) for mark in "“”„‘’«»'`"):
        remedy += "; single and typographic quotes do not hold a cell together"
    return f"{found}; {remedy}"


def _quotes(lines: list[str], first: int, last: int, error: str, separator: str) -> str:
    if "unexpected end" in error:
        return (
            f'line {first} opens a quote (") that is never closed; take it out, or double it and quote the whole cell'
        )
    if '\\"' in "".join(lines[first - 1 : last]):
        return f'{_lines(first, last)} escapes quotes by a backslash (\\"), which is not read; double them instead ("")'
    where = f"line {first} opens a quote that" if last == first else f"line {first} opens a quote, which line {last}"
    remedy = REMEDY.format(separator=NAMES[separator])
    return f"{where} closes before its cell ends (not even a blank may follow it); {remedy}"


def _refuse_swallowed_rows(lines: list[str], first: int, last: int, between: str, num_cells: int) -> None:
    """Refuse a quoted cell over several lines most of which are rows themselves: a quote too many, not one text.

    between: what separates cells, as a regular expression.
    """
    inner = [line for line in lines[first:last] if line.strip()]
    rows = [line for line in inner if len(re.split(between, line.rstrip("\r\n"))) == num_cells]
    if rows and 2 * len(rows) >= len(inner):
        raise DatasetError(
            f'a quote (") that line {first} opens is closed in line {last}, and the lines between are rows of their '
            f"own; take the quotes out, or double them and quote the whole cell (a text over several lines that only "
            f"looks like rows: write it on one line)"
        )


def _lines(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"the row of lines {first} to {last}"
