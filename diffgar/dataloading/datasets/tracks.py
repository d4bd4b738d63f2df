"""A dataset: its tracks and their captions, read from one table by a column mapping.

Tracks and captions are two tables with the columns of `Track` and `Caption`; the splits are by track.
"""

import dataclasses
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from diffgar.dataloading.datasets import columns as mapping
from diffgar.dataloading.datasets.audio_paths import file_names, hint, paths
from diffgar.dataloading.datasets.cells import storable
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.leaks import refuse_parted_files, warn_of_parted_artists
from diffgar.dataloading.datasets.splits import SplitRule, WithLeaks, standard
from diffgar.dataloading.datasets.tables import joined, read_tables
from diffgar.dataloading.datasets.track_tables import refuse_conflicts, tracks_and_captions, warn_of_doubts
from diffgar.dataloading.places import is_there
from diffgar.values import is_number

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Track:
    """A piece of audio: a file, or its seconds start_s to end_s. The path may lead into a file, see `places`."""

    track_id: str
    path: str
    split: str
    start_s: float | None = None
    end_s: float | None = None
    artist: str | None = None


@dataclass(frozen=True)
class Caption:
    """A text that describes one track."""

    caption_id: str
    track_id: str
    caption: str
    split: str


@dataclass(frozen=True)
class Dataset:
    """Tracks and captions of one collection.

    tracks: one row per track, the columns of `Track` and those of the table that describe tracks (attributes).
    captions: one row per caption, the columns of `Caption` and those of the table that differ within a track.
    missing: "refuse" or "skip", what extraction does about tracks whose audio is not on disk.
    parts: the datasets of a mix, by the name that its ids begin with.
    """

    name: str
    tracks: pd.DataFrame
    captions: pd.DataFrame
    missing: str = "refuse"
    source: str = field(default="", compare=False)  # the table, for messages
    parts: Mapping[str, "Dataset"] = field(default_factory=dict, compare=False)

    def __iter__(self) -> Iterator[Track]:
        names = [each.name for each in dataclasses.fields(Track)]
        for row in zip(*(self.tracks[name].tolist() for name in names), strict=True):
            values: list[Any] = [None if value != value else value for value in row]  # NaN is none
            yield Track(*values)

    def __len__(self) -> int:
        return len(self.tracks)

    def split(self, *names: str) -> "Dataset":
        """The tracks and captions of these splits. Raises DatasetError naming the splits there are."""
        there = sorted(self.tracks["split"].unique())
        if unknown := [name for name in names if name not in there]:
            raise DatasetError(f"dataset {self.name!r} has no split {unknown[0]!r}; it has {there}")
        tracks, captions = (
            frame[frame["split"].isin(names)].reset_index(drop=True) for frame in (self.tracks, self.captions)
        )
        return Dataset(self.name, tracks, captions, self.missing, self.source)

    def missing_audio(self) -> list[Track]:
        """The tracks whose file is not on disk."""
        there = {path: is_there(path) for path in self.tracks["path"].unique()}
        return [track for track in self if not there[track.path]]

    def refuse_missing(self, known: Collection[str] = ()) -> list[Track]:
        """The tracks whose file is not on disk, to be left out; DatasetError unless `missing` is "skip".

        Where none at all is on disk, `audio_root` is wrong: that is an error also for "skip".

        known: ids of tracks whose audio is no longer needed.
        """
        gone = [track for track in self.missing_audio() if track.track_id not in known]
        if gone and (self.missing != "skip" or len(gone) == len(self)):
            first = ", ".join(track.path + hint(track.path) for track in gone[:3])
            raise DatasetError(
                f"{self.source or self.name}: the audio of {len(gone)} of {len(self)} tracks is not on disk, "
                f"the first {first}; check audio_root and path_template"
                + ", or set data.missing=skip"
                * (self.missing != "skip")
            )
        if gone:
            log.warning("%s: %d of %d tracks are not on disk and are left out", self.name, len(gone), len(self))
        return gone


def read_dataset(
    name: str,
    table: str | Mapping | Sequence | pd.DataFrame,
    audio_root: str,
    columns: Mapping[str, str | Sequence[str] | None],
    split: SplitRule,
    path_template: str = "{path}",
    where: Mapping[str, object] | None = None,
    missing: str = "refuse",
) -> Dataset:
    """Read a dataset from what `read_tables` reads: CSV, TSV, JSON, JSON lines, Parquet, tars, folders, a DataFrame.

    columns: our column → the table's; `track_id` must be there, `caption` may be a list of columns or a
    column of lists, and null is a column that the table lacks: without `caption` the dataset has tracks alone.
    path_template is filled with the row's columns, ours and the table's, and with `path_stem`, the path without its
    suffix: "{path_stem}.2min.mp3". where: {column: value, or list of values} keeps those rows (`cells.matches`).
    Raises DatasetError naming the table, the row and the remedy.
    """
    source = str(table) if isinstance(table, str | Path) else name
    if missing not in ("refuse", "skip"):
        raise DatasetError(f"{name}: missing is {missing!r}; choose refuse or skip")
    try:
        cells = read_tables(table)
        mapping.refuse_reserved(cells)
        cells = mapping.keep(cells, where or {})
        rows = mapping.rename(cells, columns)
        fields = rows.assign(**cells.filter(items=["start_s", "end_s"]))  # "30" as the table writes it, not 30.0
        if "{split" not in path_template:  # so that a rule can keep the parts of a file together
            rows["_file"] = file_names(fields, path_template)
        rows["split"] = standard(split(rows), name)
        if "_file" not in rows:
            rows["_file"] = file_names(fields.assign(split=rows["split"]), path_template)
        rows["path"] = paths(Path(audio_root), rows.pop("_file"))
        refuse_conflicts(rows)
        refuse_parted_files(name, rows, isinstance(split, WithLeaks))
        warn_of_parted_artists(name, rows)
        warn_of_doubts(name, rows)
        return Dataset(name, *tracks_and_captions(rows), missing, source)
    except DatasetError as error:
        raise error if str(error).startswith(f"{source}: ") else DatasetError(f"{source}: {error}") from error


def mix(name: str, datasets: Mapping[str, Dataset], weights: Mapping[str, float]) -> Dataset:
    """Several datasets as one: ids prefixed `<dataset>/`, and a column `_dataset` of the tracks.

    weights: how often training samples each dataset, relative to the others, by `_dataset`. They are checked here and
    used by the data module. Raises DatasetError unless there is one positive number for each dataset, and for a name
    with a slash.
    """
    named = isinstance(weights, Mapping) and datasets and set(weights) == set(datasets)
    if not named or not all(is_number(weight) and weight > 0 for weight in weights.values()):
        raise DatasetError(f"mix {name!r}: weights {weights} must be positive, one for each of {list(datasets)}")
    if slashed := [key for key in datasets if "/" in key]:
        raise DatasetError(f"mix {name!r}: {slashed[0]!r} has a slash, which ends a dataset's name in ids; rename it")
    tracks, captions = [], []
    for key, part in datasets.items():
        tracks.append(part.tracks.assign(track_id=key + "/" + part.tracks["track_id"], _dataset=key))
        ids = {column: key + "/" + part.captions[column] for column in ("caption_id", "track_id")}
        captions.append(part.captions.assign(**ids))
    missing = "skip" if all(part.missing == "skip" for part in datasets.values()) else "refuse"
    all_tracks, all_captions = (joined(parts).reset_index(drop=True).apply(storable) for parts in (tracks, captions))
    return Dataset(name, all_tracks, all_captions, missing, name, dict(datasets))
