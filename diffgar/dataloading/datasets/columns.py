"""From a table's rows, in its own columns, to rows with ours beside them. The index names each row for messages."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from diffgar.dataloading.datasets.cells import Embedded, blank, matches, matching, several, shown, spells_none, written
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.texts import seconds_of, texts_of

__all__ = ["OURS", "RESERVED", "keep", "matches", "refuse_reserved", "rename"]

OURS = ("track_id", "path", "caption", "caption_id", "artist", "start_s", "end_s")
SEVERAL = ("caption", "track_id", "caption_id")  # ours that may be several of the table's columns
RESERVED = ("_row", "_file", "_seconds", "_key", "_audio", "_dataset")  # columns that this package adds
FILES = "map a column of file names, or of a Parquet file one of records {bytes, path}"


def refuse_reserved(rows: pd.DataFrame) -> None:
    """Refuse a table that has a column of a name that this package gives to columns of its own."""
    if taken := [name for name in RESERVED if name in rows.columns]:
        raise DatasetError(f"the table has a column {taken[0]!r}, a name kept for a column of ours; rename it")


def keep(rows: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """The rows whose cells match the value, or one of the values, that `where` gives for their column (`matches`)."""
    for column, wanted in where.items():
        if column not in rows:
            raise DatasetError(f"no column {column!r}; there are {list(rows.columns)}; correct `where`")
        rows = rows[matching(rows[column].tolist(), wanted)]
        if rows.empty:
            words = sorted(str(each).lower() for each in several(wanted))
            raise DatasetError(f"no row has {column} in {words}; correct `where`, or leave it out")
    return rows


def rename(rows: pd.DataFrame, columns: Mapping[str, str | Sequence[str] | None]) -> pd.DataFrame:
    """Rows with our columns beside the table's; `caption` becomes a list of texts, blank paths and artists None.

    An id may be several columns, joined by colons: {track_id: [id, start]} → `1004034:30`, of a part of a file.
    Raises DatasetError naming the row for a mapped cell that is not what its column should hold. Cells of other
    columns are not checked.
    """
    if unknown := [ours for ours in columns if ours not in OURS]:
        raise DatasetError(f"columns maps {unknown[0]!r}, which is none of ours: {', '.join(OURS)}")
    mapped = {ours: [names] if isinstance(names, str) else list(names) for ours, names in columns.items() if names}
    if "track_id" not in mapped:
        raise DatasetError(f"columns maps no track_id; name the column that holds it: {list(rows.columns)}")
    for column in (name for names in mapped.values() for name in names):
        if column not in rows:
            raise DatasetError(
                f"no column {column!r}; there are {list(rows.columns)}; correct the mapping under `columns`"
            )
    if several_of := [name for name, theirs in mapped.items() if len(theirs) > 1 and name not in SEVERAL]:
        raise DatasetError(f"columns maps {several_of[0]} to several columns; name one")
    ours: dict = {"start_s": np.nan, "end_s": np.nan}
    for name, theirs in mapped.items():
        cells = [rows[column].tolist() for column in theirs]
        if name == "caption":
            ours[name] = [texts_of(each, place) for place, *each in zip(rows.index, *cells, strict=True)]
        elif name in ("start_s", "end_s"):
            ours[name] = [seconds_of(cell, theirs[0], place) for place, cell in zip(rows.index, cells[0], strict=True)]
        else:
            texts = [
                [_text(cell, name, column, place) for place, cell in zip(rows.index, each, strict=True)]
                for column, each in zip(theirs, cells, strict=True)
            ]
            ours[name] = (
                texts[0] if len(texts) == 1 else [":".join(map(str, parts)) for parts in zip(*texts, strict=True)]
            )
    rows = rows.drop(columns=[c for c in ("caption", "caption_id", "artist") if c in rows]).assign(**ours)
    _refuse_backward(rows)
    return rows


def _text(cell: object, name: str, column: str, place: str) -> str | None:
    """A cell as the text of one of our columns. An id must be there; a path or an artist may be blank."""
    if name == "path" and isinstance(cell, Embedded):
        return cell.place
    optional = name in ("path", "artist")
    if blank(cell) or (isinstance(cell, str) and name != "path" and spells_none(cell)):
        if optional:
            return None
        word = "" if blank(cell) else f" but the word {str(cell).strip()!r}, as programs write a missing one"
        raise DatasetError(f"{place} has no {name}{word}; give it one, or leave the row out")
    try:
        return written(cell)
    except ValueError as error:
        remedy = (
            FILES
            if name == "path" and not isinstance(cell, str)
            else f"map {name} to a column of texts or whole numbers"
        )
        raise DatasetError(f"{place}: {name} (column {column!r}) {error}; {remedy}") from None


def _refuse_backward(rows: pd.DataFrame) -> None:
    backward = np.flatnonzero(rows["end_s"].to_numpy(dtype=float) <= rows["start_s"].fillna(0).to_numpy(dtype=float))
    if len(backward):
        place, start, end = (list(each)[backward[0]] for each in (rows.index, rows["start_s"], rows["end_s"]))
        raise DatasetError(f"{place}: end_s is {shown(end)}, not after start_s {shown(start)}; correct them")
