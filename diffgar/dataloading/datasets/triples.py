"""Tables of composed requests, "this track, but …": a source clip, an instruction and a target clip per row.

The columns are ReMIX's. Requests of another origin, such as the demo's, come as the same table.
"""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from diffgar.dataloading.datasets.cells import blank
from diffgar.dataloading.datasets.columns import keep
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.lists import list_of
from diffgar.dataloading.datasets.splits import standard
from diffgar.dataloading.datasets.tables import read_tables

Requests = Callable[[pd.DataFrame], pd.DataFrame]  # a store's tracks → a table with the columns of TRIPLE

NEEDED = ("source_clip_id", "target_clip_id", "primary_edit", "split")
TRIPLE = (*NEEDED, "primary_axis", "preservation_axes")


def read_triples(
    tracks: pd.DataFrame,
    name: str,
    table: str | Sequence[str] | Mapping[str, str] | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    where: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """Composed requests from a file, from several, or from {split: file}, with the columns of TRIPLE.

    source_clip_id, target_clip_id: ids of tracks; primary_edit: the instruction; primary_axis: what changes;
    preservation_axes: a tuple of what stays. The last two are empty where the table has no such column. tracks: not
    read, because the table has it all. columns: {our name: the table's column} where the two differ. axes: {axis: the
    tracks' column that holds its values}; an axis without one keeps its name. where: keeps rows, as a dataset's.
    Raises DatasetError naming the file or row for an absent column, a blank cell, and a source that is its own target.
    """
    rows, theirs, column_of = read_tables(table), dict(columns or {}), dict(axes or {})
    if unknown := [ours for ours in theirs if ours not in TRIPLE]:
        raise DatasetError(f"{name}: columns maps {unknown[0]!r}, which is none of ours: {', '.join(TRIPLE)}")
    rows = keep(rows, where or {})
    absent = [theirs.get(ours, ours) for ours in NEEDED if theirs.get(ours, ours) not in rows]
    if absent:
        raise DatasetError(f"{name}: no column {absent[0]!r}; there are {list(rows.columns)}; correct `columns`")
    found = pd.DataFrame({ours: rows.get(theirs.get(ours, ours)) for ours in TRIPLE}, index=rows.index)
    for ours in NEEDED:
        if (empty := found[ours].map(blank)).any():
            raise DatasetError(f"{name}, {empty.idxmax()}: no {ours}; give it one, or leave the row out by `where`")
    if (same := found["source_clip_id"] == found["target_clip_id"]).any():
        raise DatasetError(f"{name}, {same.idxmax()}: the source is its own target; leave the row out by `where`")
    changed = [axis for cell in found["primary_axis"] for axis in axes_of(cell)[:1] or ("",)]
    kept = [tuple(column_of.get(axis, axis) for axis in axes_of(cell)) for cell in found["preservation_axes"]]
    return found.assign(
        split=standard(list(found["split"]), name),
        primary_axis=[column_of.get(axis, axis) for axis in changed],
        preservation_axes=kept,
    )


def axes_of(cell: object) -> tuple[str, ...]:
    """The axes of a cell: a list, a list written as text ("['speed', 'vocals']"), or names joined by "|"; () if blank.

    Raises DatasetError for anything else.
    """
    if blank(cell):
        return ()
    axes = list_of(cell)
    if axes is None and isinstance(cell, str) and not cell.strip().startswith("["):
        axes = cell.split("|")
    if axes is None:
        raise DatasetError(f"{cell!r} is no list of axes; write speed|vocals")
    return tuple(str(axis).strip() for axis in axes if not blank(axis))
