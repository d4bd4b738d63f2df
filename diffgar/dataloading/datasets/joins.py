"""Two tables joined on an id: captions with metadata, captions with audio."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.cells import blank, written
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.tables import read_tables

Table = str | Path | Sequence | Mapping | pd.DataFrame  # what `read_tables` takes
MISSING = ("refuse", "skip", "keep")


def join(table: Table, other: Table, on: str | Mapping[str, str], missing: str = "refuse") -> pd.DataFrame:
    """The rows of a table, each with the columns of the other's row of the same id.

    on: the column of ids, or {its name in `table`: its name in `other`}. Ids are compared as texts: 7, 7.0 and "7" are
    one. `{path}` in place of a name of `other` takes `audio/7.mp3` for 7: ("{audio.path}"). Columns that both have are
    the table's. missing: what becomes of a row without a partner: "refuse", "skip" it, or "keep" it with blank cells.
    Raises DatasetError for an id that stands twice in `other`, and for rows without partners.
    """
    if missing not in MISSING:
        raise DatasetError(f"join.missing is {missing!r}; choose {', '.join(MISSING)}")
    ours, theirs = (on, on) if isinstance(on, str) else next(iter(on.items()))
    left, right = read_tables(table), read_tables(other)
    of_file = theirs.startswith("{") and theirs.endswith("}")
    ids = _ids(right, theirs.strip("{}") if of_file else theirs)
    ids = [Path(each).stem if of_file else each for each in ids]
    position = {each: number for number, each in reversed(list(enumerate(ids))) if each}
    if len(position) < len(list(filter(None, ids))):
        number = next(n for n, each in enumerate(ids) if each and position[each] != n)
        first, second = right.index[position[ids[number]]], right.index[number]
        raise DatasetError(f"{second}: the id {ids[number]!r} ({theirs}) stands in {first} too; leave one of them in")
    partners = pd.Series([position.get(each, -1) for each in _ids(left, ours)], index=left.index)
    alone = partners == -1
    if alone.any() and (missing == "refuse" or alone.all()):
        raise DatasetError(
            f"{alone.idxmax()}: no row of the other table has its {ours} ({alone.sum()} of {len(left)} rows are so); "
            "correct `on`, or set join's missing to skip or keep"
        )
    if missing == "skip":
        left, partners = left[~alone], partners[~alone]
    columns = {}
    for name in right.columns.difference(left.columns, sort=False):
        cells = [*right[name].tolist(), None]  # the last is of none
        columns[name] = pd.Series([cells[partner] for partner in partners], index=left.index, dtype=object)
    return left.assign(**columns)


def _ids(table: pd.DataFrame, column: str) -> list[str | None]:
    """A column of ids as texts, None where one is blank."""
    if column not in table:
        raise DatasetError(f"no column {column!r} to join on; there are {list(table.columns)}; correct `on`")
    try:
        return [None if blank(cell) else written(cell) for cell in table[column].tolist()]
    except ValueError as error:
        raise DatasetError(f"column {column!r}, to join on, holds a cell that {error}") from None
