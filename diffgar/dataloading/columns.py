"""From a table's rows, in its own columns, to the rows of tracks and captions in ours."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter

import numpy as np
import pandas as pd

from diffgar.dataloading.tables import DatasetError

OURS = ("track_id", "path", "caption", "caption_id", "artist", "start_s", "end_s")
TRACK = ("track_id", "path", "split", "start_s", "end_s", "artist")
CAPTION = ("caption_id", "track_id", "caption", "split")


def keep(rows: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """The rows whose cells equal the value, or are among the values, that `where` gives for their column."""
    rows = rows.assign(_row=np.arange(len(rows)) + 1)  # the number in the table, for messages
    for column, value in where.items():
        _require(rows, column)
        values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        wanted = {str(each).lower() for each in values}
        rows = rows[[str(cell).lower() in wanted for cell in rows[column]]]
        if rows.empty:
            raise DatasetError(f"no row has {column} in {sorted(wanted)}; correct `where`, or leave it out")
    return rows.reset_index(drop=True)


def rename(rows: pd.DataFrame, columns: Mapping[str, str | Sequence[str] | None]) -> pd.DataFrame:
    """Rows with our columns beside the table's; `caption` becomes a list of texts."""
    if unknown := [ours for ours in columns if ours not in OURS]:
        raise DatasetError(f"columns maps {unknown[0]!r}, which is none of ours: {', '.join(OURS)}")
    mapped = {ours: [names] if isinstance(names, str) else list(names) for ours, names in columns.items() if names}
    if "track_id" not in mapped:
        raise DatasetError(f"columns maps no track_id; name the column that holds it: {list(rows.columns)}")
    for column in (name for names in mapped.values() for name in names):
        _require(rows, column)
    ours: dict = {"start_s": np.nan, "end_s": np.nan}
    for name, (first, *rest) in mapped.items():
        if name == "caption":
            ours[name] = [_texts(cells, number) for number, *cells in rows[["_row", first, *rest]].to_numpy()]
        elif name in ("start_s", "end_s"):
            ours[name] = _seconds(rows, first)
        else:
            ours[name] = [str(cell).strip() for cell in rows[first]]
    for number, track_id in zip(rows["_row"], ours["track_id"], strict=True):
        if track_id in ("", "nan", "None"):
            raise DatasetError(f"row {number} has no track_id; give it one, or leave the row out")
    return rows.drop(columns=[c for c in ("caption", "caption_id", "artist") if c in rows]).assign(**ours)


def _require(rows: pd.DataFrame, column: str) -> None:
    if column not in rows:
        there = [name for name in rows.columns if name != "_row"]
        raise DatasetError(f"no column {column!r}; there are {there}; correct the mapping under `columns`")


def _seconds(rows: pd.DataFrame, column: str) -> np.ndarray:
    seconds = pd.to_numeric(rows[column].replace("", np.nan), errors="coerce").to_numpy(dtype=float)
    for number, cell, value in zip(rows["_row"], rows[column], seconds, strict=True):
        if np.isnan(value) and str(cell) not in ("", "nan", "None"):
            raise DatasetError(f"row {number}: {column} is {cell!r}, not a number of seconds; correct it")
    return seconds


def _texts(cells: Sequence, number: int) -> list[str]:
    """A row's captions: a cell is a text or a list of them; of several columns some may be blank, not all."""
    texts = []
    for cell in cells:
        texts += [cell] if isinstance(cell, str) or cell is None or np.isscalar(cell) else list(cell)
    texts = ["" if text is None or text != text else str(text).strip() for text in texts]
    if not any(texts) or (len(cells) == 1 and not all(texts)):
        raise DatasetError(f"row {number} has an empty caption; write one, or leave the row out of the table")
    return [text for text in texts if text]


def paths(rows: pd.DataFrame, audio_root: Path, template: str) -> list[str]:
    """Each row's audio file: the template filled with its columns and `path_stem`, under audio_root."""
    there = [name for name in rows.columns if name != "_row"]
    try:
        names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
        fields = {name: rows[name].tolist() for name in names & set(there)}
        if "path_stem" in names and "path" in rows:
            fields["path_stem"] = [os.path.splitext(str(path))[0] for path in rows["path"]]
        if unknown := sorted(names - set(fields)):
            raise DatasetError(f"path_template {template!r} needs {unknown[0]!r}; the fields are {there}")
        each = ({name: cells[i] for name, cells in fields.items()} for i in range(len(rows)))
        return [os.path.join(audio_root, template.format(**cells)) for cells in each]
    except DatasetError:
        raise
    except ValueError as error:
        raise DatasetError(f"path_template {template!r} cannot be filled ({error}); correct it") from error


def refuse_conflicts(rows: pd.DataFrame) -> None:
    """Refuse a track with two files, a track or a file in two splits, and a table without a row."""
    if rows.empty:
        raise DatasetError("no track is left; check the table, `where` and the tags")
    places = [tuple(place) for place in rows[["path", "start_s", "end_s"]].fillna(-1.0).to_numpy()]
    place_of: dict[str, tuple] = {}
    split_of: dict[object, str] = {}
    columns = (rows["_row"], rows["track_id"], places, rows["split"])
    for number, track_id, place, split in zip(*columns, strict=True):
        if place_of.setdefault(track_id, place) != place:
            raise DatasetError(
                f"row {number}: track_id {track_id!r} stands for {_told(place)} here and for "
                f"{_told(place_of[track_id])} above; give the two tracks ids of their own"
            )
        for what, key in (("track", track_id), ("file", place)):
            if split_of.setdefault((what, key), split) != split:
                other, thing = split_of[what, key], track_id if what == "track" else _told(place)
                raise DatasetError(
                    f"row {number}: {what} {thing} is in split {split!r} here and in {other!r} above; "
                    f"split by track, as splits.by_hash does"
                )


def _told(place: tuple) -> str:
    path, start, end = place
    return path if start < 0 and end < 0 else f"{path} from {start:g} s to {end:g} s"


def tracks_and_captions(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a track and one row a caption, with the columns of `Track` and of `Caption`.

    The table's other columns go to the tracks where all rows of a track say the same, else to the captions.
    """
    if "artist" not in rows:
        rows = rows.assign(artist=None)
    others = [c for c in rows.columns if c not in (*TRACK, "caption", "caption_id", "_row")]
    plain = rows.assign(**{column: _plain(rows[column]) for column in others})
    distinct = plain.groupby("track_id")[others].nunique(dropna=False).max()
    tracks = plain.drop_duplicates("track_id")[[*TRACK, *distinct.index[distinct == 1]]]
    return tracks.reset_index(drop=True), _captions(plain, list(distinct.index[distinct > 1]))


def _captions(rows: pd.DataFrame, others: list[str]) -> pd.DataFrame:
    """A caption without an id of its own has its track's, `#`, and its number there."""
    if "caption" not in rows:
        return pd.DataFrame({column: pd.Series(dtype=str) for column in CAPTION})
    flat = rows.explode("caption", ignore_index=True)
    number = flat.groupby("track_id").cumcount().astype(str)
    if "caption_id" not in flat:
        flat["caption_id"] = flat["track_id"] + "#" + number
    elif len(flat) > len(rows):
        flat["caption_id"] = flat["caption_id"] + "#" + number
    if repeated := list(flat["caption_id"][flat["caption_id"].duplicated()]):
        raise DatasetError(f"caption_id {repeated[0]!r} stands twice; make ids unique, or set columns.caption_id=null")
    return flat[[*CAPTION, *others]]


def _plain(cells: pd.Series) -> pd.Series:
    """Cells that a Parquet column can hold: lists and records as JSON."""
    if cells.dtype != object:
        return cells
    return cells.map(lambda cell: cell if isinstance(cell, str | None) else json.dumps(cell, default=list))
