"""Lists of aspects (instruments, moods) → columns of ground truth, one per aspect, as steering is measured by."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.cells import blank, shown
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.lists import list_of
from diffgar.dataloading.datasets.tables import read_tables

log = logging.getLogger(__name__)

NONE = "none"  # what steering takes for the absence of an attribute


def with_attributes(
    table: str | Path | Sequence | Mapping | pd.DataFrame, columns: Sequence[str], values: Sequence[str]
) -> pd.DataFrame:
    """A table with a column for each of `values`: the value itself where one of the row's lists has it, else "none".

    columns: those of the lists, which may be written as texts. The column `named` joins by "|" those that the row has:
    a caption that was written from the lists names them. Raises DatasetError naming the row of a cell that is no list,
    and for a value that is a column already; warns of a value that no row has.
    """
    table = read_tables(table)
    if absent := [name for name in columns if name not in table]:
        raise DatasetError(f"no column {absent[0]!r} of aspects; there are {list(table.columns)}")
    if taken := [name for name in (*values, "named") if name in table]:
        raise DatasetError(f"the table has a column {taken[0]!r}, where an attribute would go; rename it")
    rows = [
        {aspect for name, cell in zip(columns, cells, strict=True) for aspect in _aspects(cell, name, place)}
        for place, *cells in zip(table.index, *(table[name].tolist() for name in columns), strict=True)
    ]
    if unseen := [value for value in values if not any(value in row for row in rows)]:
        log.warning("no row has the aspect %s; correct `values` if it should", ", ".join(map(repr, unseen)))
    truth = {value: [value if value in row else NONE for row in rows] for value in values}
    return table.assign(**truth, named=["|".join(value for value in values if value in row) for row in rows])


def _aspects(cell: object, column: str, place: str) -> list[str]:
    """A cell's aspects, in lower case."""
    items = [] if blank(cell) else list_of(cell)
    if items is None or not all(isinstance(item, str) for item in items):
        raise DatasetError(f"{place}: {column} is {shown(cell)}, expected a list of aspects")
    return [item.strip().lower() for item in items]
