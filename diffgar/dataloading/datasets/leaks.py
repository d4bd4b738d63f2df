"""Splits that leak: parts of one file, or tracks of one artist, in several splits."""

import logging

import pandas as pd

from diffgar.dataloading.datasets.errors import DatasetError

log = logging.getLogger(__name__)

EXAMPLES = 3


def refuse_parted_files(name: str, rows: pd.DataFrame, allowed: bool = False) -> None:
    """Raises DatasetError for files with parts in several splits, with counts and examples; `allowed`: warns instead.

    rows: tracks with `path` and `split`.
    """
    if not (found := _in_several_splits(rows, "path")):
        return
    told = f"{len(found)} of {rows['path'].nunique()} files have parts in more than one split, the first {_told(found)}"
    if not allowed:
        raise DatasetError(
            f"{told}; what is tested on would sound like what was trained on: split by file, as splits.by_hash does, "
            "or put the rule into splits.WithLeaks, which allows it and says so"
        )
    log.warning("%s: %s; what is tested on may sound like what was trained on", name, told)


def warn_of_parted_artists(name: str, rows: pd.DataFrame) -> None:
    """Say which artists have tracks in several splits, where the table names artists."""
    if "artist" not in rows or not (found := _in_several_splits(rows.dropna(subset=["artist"]), "artist")):
        return
    log.warning(
        "%s: %d of %d artists have tracks in more than one split, the first %s; a model may know an artist's sound: "
        "splits.by_hash with by: artist keeps each in one",
        *(name, len(found), rows["artist"].nunique(), _told(found)),
    )


def _in_several_splits(rows: pd.DataFrame, column: str) -> dict[str, list[str]]:
    """The values of a column whose rows are in more than one split, each with its splits."""
    splits = rows.groupby(column, sort=False)["split"].unique()
    return {str(value): list(own) for value, own in splits.items() if len(own) > 1}


def _told(found: dict[str, list[str]]) -> str:
    """The first of them in words: "a.wav (train, test), b.wav (train, validation)"."""
    return ", ".join(f"{value} ({', '.join(own)})" for value, own in list(found.items())[:EXAMPLES])
