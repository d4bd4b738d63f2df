"""From rows with our columns to a dataset's two tables, of tracks and of captions, free of contradictions."""

import logging
import re

import pandas as pd

from diffgar.dataloading.datasets.cells import Unread, storable, whole
from diffgar.dataloading.datasets.errors import DatasetError

log = logging.getLogger(__name__)

TRACK = ("track_id", "path", "split", "start_s", "end_s", "artist")
CAPTION = ("caption_id", "track_id", "caption", "split")


def refuse_conflicts(rows: pd.DataFrame) -> None:
    """Refuse a track with two files, a track or a part of a file in two splits, and a table without a row."""
    if rows.empty:
        raise DatasetError("no track is left; check the table, `where` and the tags")
    places = [tuple(place) for place in rows[["path", "start_s", "end_s"]].fillna(-1.0).to_numpy()]
    place_of: dict[str, tuple] = {}
    split_of: dict[object, str] = {}
    for row, track_id, place, split in zip(rows.index, rows["track_id"], places, rows["split"], strict=True):
        if place_of.setdefault(track_id, place) != place:
            raise DatasetError(
                f"{row}: track_id {track_id!r} stands for {_told(place)} here and for "
                f"{_told(place_of[track_id])} above; give the two tracks ids of their own"
            )
        for what, key in (("track", track_id), ("file", place)):
            if split_of.setdefault((what, key), split) != split:
                other, thing = split_of[what, key], track_id if what == "track" else _told(place)
                raise DatasetError(
                    f"{row}: {what} {thing} is in split {split!r} here and in {other!r} above; "
                    f"split by track, as splits.by_hash does"
                )


def warn_of_doubts(name: str, rows: pd.DataFrame) -> None:
    """Warn once of what is valid but may not be meant: ids with decimals."""
    ids = rows["track_id"].drop_duplicates()
    decimal, whole = (next((i for i in ids if re.fullmatch(form, i)), None) for form in (r"\d+\.0", r"\d+"))
    if decimal and whole:
        log.warning(
            "%s: some track_ids are written as decimals (%r), some as whole numbers (%r); %s and %s would be two "
            "tracks: write them alike",
            *(name, decimal, whole, decimal, decimal.removesuffix(".0")),
        )


def _told(place: tuple) -> str:
    path, start, end = place
    return path if start < 0 and end < 0 else f"{path} from {start:g} s to {end:g} s"


def tracks_and_captions(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per track and one row per caption, with the columns of `Track` and of `Caption`.

    The table's other columns go to the tracks where all rows of a track say the same, else to the captions; `named`,
    the attributes that a caption names, is always with these. A column that was not read goes nowhere.
    """
    if "artist" not in rows:
        rows = rows.assign(artist=None)
    unread = [c for c in rows.columns if rows[c].dtype == object and any(isinstance(cell, Unread) for cell in rows[c])]
    rows = rows.drop(columns=unread).rename(columns=whole).reset_index(drop=True)
    others = [c for c in rows.columns if c not in (*TRACK, "caption", "caption_id")]
    plain = rows.assign(**{column: storable(rows[column]) for column in others})
    distinct = plain.groupby("track_id")[others].nunique(dropna=False).max()
    tracks = plain.drop_duplicates("track_id")[[*TRACK, *distinct.index[distinct == 1]]]
    of_captions = [name for name in distinct.index if distinct[name] > 1 or name == "named"]
    return tracks.reset_index(drop=True), _captions(plain, of_captions)


def _captions(rows: pd.DataFrame, others: list[str]) -> pd.DataFrame:
    """One row per caption; captions without an id get `{track_id}#{n}`."""
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
