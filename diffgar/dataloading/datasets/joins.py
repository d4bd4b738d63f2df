"""Two tables joined on an id: captions with metadata, captions with audio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from diffgar.dataloading.datasets.cells import blank, written
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.tables import read_tables

Table: TypeAlias = str | Path | Sequence | Mapping | pd.DataFrame  # what `read_tables` takes
MISSING = ("refuse", "skip", "keep")


def join(table: Table, other: Table, key: str | Mapping[str, str], missing: str = "refuse") -> pd.DataFrame:
    """The rows of a table, each with the columns of the other's row of the same id.

    key: the column of ids, or {its name in `table`: its name in `other`}. Ids are compared as texts: 7, 7.0 and "7" are
    one. A name in braces is of files, whose stems are the ids: under {id: "{audio.path}"}, 7 is `a/7.mp3`. Columns that
    both have are those of `table`. missing: what becomes of a row without a partner: "refuse", "skip" it, or "keep" it
    with blank cells. Raises DatasetError for an id that stands twice in `other`, and for rows without partners.
    """
    if missing not in MISSING:
        raise DatasetError(f"join.missing is {missing!r}; choose {', '.join(MISSING)}")
    ours, theirs = (key, key) if isinstance(key, str) else next(iter(key.items()))
    left, right = read_tables(table), read_tables(other)
    rows = _rows_by_id(right, theirs)
    partners = np.array([-1 if each is None else rows.get(each, -1) for each in _ids(left, ours)])
    alone = partners == -1
    if alone.any() and (missing == "refuse" or alone.all()):
        raise DatasetError(
            f"{left.index[alone.argmax()]}: no row of the other table has its {ours} ({alone.sum()} of "
            f"{len(left)} rows are so); correct `key`, or set join's missing to skip or keep"
        )
    if missing == "skip":
        left, partners = left[~alone], partners[~alone]
    columns = {}
    for name in (name for name in right.columns if name not in left):
        cells = [*right[name].tolist(), None]  # the last, -1, is of no partner
        columns[name] = pd.Series([cells[partner] for partner in partners], index=left.index, dtype=object)
    return left.assign(**columns)


def _rows_by_id(table: pd.DataFrame, column: str) -> dict[str, int]:
    """Id → the number of its row; a column in braces is of files, whose stems are the ids."""
    is_file = column.startswith("{") and column.endswith("}")
    rows: dict[str, int] = {}
    for number, each in enumerate(_ids(table, column[1:-1] if is_file else column)):
        if each is None:
            continue
        each = Path(each).stem if is_file else each
        if (first := rows.setdefault(each, number)) != number:
            raise DatasetError(
                f"{table.index[number]}: the id {each!r} ({column}) stands in {table.index[first]} too; leave one in"
            )
    return rows


def _ids(table: pd.DataFrame, column: str) -> list[str | None]:
    """A column of ids as texts, None where one is blank."""
    if column not in table:
        raise DatasetError(f"no column {column!r} to join by; there are {list(table.columns)}; correct `key`")
    try:
        return [None if blank(cell) else written(cell) for cell in table[column].tolist()]
    except ValueError as error:
        raise DatasetError(f"column {column!r}, to join by, holds a cell that {error}") from None
