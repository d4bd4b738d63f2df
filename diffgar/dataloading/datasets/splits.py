"""Rules that give every row of a table its split: each returns a callable, rows → list of splits."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.cells import blank, matches, spells_none, written
from diffgar.dataloading.datasets.columns import OURS
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.tables import opened
from diffgar.dataloading.datasets.text_files import lines_of, text_of

log = logging.getLogger(__name__)

SplitRule = Callable[[pd.DataFrame], list[str]]
SPLITS = ("train", "validation", "test")  # the splits that training and evaluation ask for
SYNONYMS = {"train": "train", "training": "train", "tr": "train"}
SYNONYMS |= dict.fromkeys(("validation", "val", "valid", "dev", "validate", "development"), "validation")
SYNONYMS |= dict.fromkeys(("test", "testing", "tst"), "test")
UNCLEAR = ("eval", "evaluation")  # the validation split of some collections, the test split of others


def standard(splits: Sequence[str], name: str) -> list[str]:
    """Splits with `train`, `validation` and `test` for the known words for them, whatever their case; each is logged.

    name: the dataset, for messages. Other words stay, with a warning. Raises DatasetError for "eval", which means
    validation in some collections and test in others.
    """
    places = {}
    for split, count in Counter(map(str, splits)).items():
        word = split.strip().lower()
        if word in UNCLEAR:
            raise DatasetError(
                f"split {split!r} is validation in some collections and test in others; say which: "
                f"split.rename={{{split}: validation}}, or another name in place of {split!r}"
            )
        places[split] = SYNONYMS.get(word, split)
        if places[split] != split:
            log.info("%s: split %r is read as %r (%d rows)", name, split, places[split], count)
    if unusual := sorted(set(places.values()) - set(SPLITS)):
        log.warning(
            "%s: splits %s are none of %s: nothing trains or validates on them unless told to; "
            "split.rename gives them other names",
            *(name, ", ".join(map(repr, unusual)), ", ".join(SPLITS)),
        )
    return [places[str(split)] for split in splits]


@dataclass(frozen=True)
class WithLeaks:
    """The splits of another rule, where files may have parts in several of them: that is said, and not refused."""

    rule: SplitRule

    def __call__(self, rows: pd.DataFrame) -> list[str]:
        return self.rule(rows)


def by_name(split: str) -> SplitRule:
    """Every row in one split, as for a dataset that is only tested on."""
    return lambda rows: [split] * len(rows)


def by_column(column: str = "split", rename: Mapping[object, str] | None = None) -> SplitRule:
    """The split that a column has, optionally renamed: {fold1: validation}. A blank cell is refused with its row."""

    def rule(rows: pd.DataFrame) -> list[str]:
        return [_renamed(text, rename or {}) for text in _texts(rows, column, "splits")]

    return rule


def _renamed(text: str, names: Mapping[object, str]) -> str:
    exact = {str(name): split for name, split in names.items()}
    return exact.get(text) or next((split for name, split in names.items() if matches(text, name)), text)


def _texts(rows: pd.DataFrame, column: str, what: str) -> list[str]:
    """A column as texts. Raises DatasetError where it is absent, and naming the row where a cell is blank."""
    texts = []
    for place, cell in zip(rows.index, _column(rows, column), strict=True):
        if blank(cell):
            raise DatasetError(
                f"{place} is blank in column {column!r}, which {what} are read from; fill it in, or leave the row out"
            )
        texts.append(_text(cell, column, place))
    return texts


def _column(rows: pd.DataFrame, column: str) -> list:
    if column not in rows:
        mapped = f"; map it under columns: {column}: <its name in the table>" if column in OURS else ""
        raise DatasetError(f"no column {column!r} to split by{mapped}; there are {list(rows.columns)}")
    return rows[column].tolist()


def _text(cell: object, column: str, place: object) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    try:
        return written(cell)
    except ValueError as error:
        raise DatasetError(f"{place}: {column} {error}; split by a column of texts") from None


def by_hash(fractions: Mapping[str, float], by: str = "track_id", salt: str = "") -> SplitRule:
    """A split by the hash of a column: a track, or an artist, stays where it is when the table grows.

    fractions: {train: 0.8, validation: 0.1, test: 0.1}; they sum to 1. Another `salt` is another split.
    By track_id, the rows of a file that is cut into parts (start_s, end_s) are split by their file, so that they stay
    together. A row whose `by` is blank is split as by track_id: blank artists are not one artist.
    """
    if abs(sum(fractions.values()) - 1) > 1e-6 or min(fractions.values()) < 0:
        total = sum(fractions.values())
        raise DatasetError(f"split.fractions {dict(fractions)} must be positive and sum to 1, not to {total:g}")

    def split_of(value: str) -> str:
        point = int.from_bytes(hashlib.sha256(f"{salt}{value}".encode()).digest()[:8], "big") / 2**64
        edge = 0.0
        for split, fraction in fractions.items():
            edge += fraction
            if point < edge:
                return split
        return [split for split, fraction in fractions.items() if fraction > 0][-1]

    return lambda rows: [split_of(group) for group in _groups(rows, by)]


def _groups(rows: pd.DataFrame, by: str) -> list[str]:
    """What each row is split by: its cell of column `by`, its track, or its file where it is a part of one."""
    cells = _column(rows, by)
    files = rows["_file"].tolist() if "_file" in rows else [None] * len(rows)
    parted = set(rows["_file"][rows[["start_s", "end_s"]].notna().any(axis=1)]) if "_file" in rows else set()
    tracks = rows["track_id"].tolist() if "track_id" in rows else [None] * len(rows)
    groups, num_blank = [], 0
    for place, cell, track, file in zip(rows.index, cells, tracks, files, strict=True):
        unknown = blank(cell) or (isinstance(cell, str) and spells_none(cell))
        num_blank += unknown
        if not unknown and by != "track_id":
            groups.append(_text(cell, by, place))
        elif file in parted:
            groups.append(file)
        elif track is None and unknown:
            raise DatasetError(f"{place} has no {by} to split by; give it one, or leave the row out")
        else:
            groups.append(_text(cell if track is None else track, by, place))
    if num_blank:
        log.warning(
            "%d of %d rows have no %s: each is split as its track, or as its file where it is a part",
            *(num_blank, len(rows), by),
        )
    if parted:
        those = "their rows" if by == "track_id" else f"their rows that have no {by}"
        log.info("%d files are cut into parts: %s are split by file", len(parted), those)
    return groups


def by_list(files: Mapping[str, str], other: str | None = None, by: str = "track_id") -> SplitRule:
    """Splits listed in text files, one id per line: {test: test_ids.txt}; ids in no file are in split `other`.

    Without `other`, an id that is in no file is refused, as is one that is in two.
    """
    split_of: dict[str, str] = {}
    for split, file in files.items():
        path = Path(file).expanduser()
        text = opened(path, text_of, f"make it: a list of {by}s for split {split!r}, one per line")
        for value in filter(None, map(str.strip, lines_of(text))):
            if split_of.setdefault(value, split) != split:
                raise DatasetError(f"{file}: {by} {value!r} is in {split_of[value]!r} too; leave it in one list")

    def rule(rows: pd.DataFrame) -> list[str]:
        splits = []
        for place, cell in zip(rows.index, _column(rows, by), strict=True):
            value = None if blank(cell) else _text(cell, by, place)
            split = other if value is None else split_of.get(value, other)
            if split is None:
                raise DatasetError(
                    f"{place}: {by} {value!r} is in none of {list(files.values())}; add it, or set `other`"
                )
            splits.append(split)
        return splits

    return rule
