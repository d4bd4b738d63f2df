"""Rules that give every row of a table its split: each returns a callable, rows → list of splits."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from diffgar.dataloading.tables import DatasetError

SplitRule = Callable[[pd.DataFrame], list[str]]


def by_name(split: str) -> SplitRule:
    """Every row in one split, as for a dataset that is only tested on."""
    return lambda rows: [split] * len(rows)


def by_column(column: str = "split", rename: Mapping[str, str] | None = None) -> SplitRule:
    """The split that the table says, `rename`d where its words are others: {val: validation}."""

    def rule(rows: pd.DataFrame) -> list[str]:
        if column not in rows:
            raise DatasetError(f"no column {column!r} to split by; there are {list(rows.columns)}")
        return [(rename or {}).get(str(value), str(value)) for value in rows[column]]

    return rule


def by_hash(fractions: Mapping[str, float], by: str = "track_id", salt: str = "") -> SplitRule:
    """A split by the hash of a column: a track, or an artist, stays where it is when the table grows.

    fractions: {train: 0.8, validation: 0.1, test: 0.1}; they sum to 1. Another `salt` is another split.
    """
    if abs(sum(fractions.values()) - 1) > 1e-6 or min(fractions.values()) < 0:
        raise DatasetError(f"fractions {dict(fractions)} must be positive and sum to 1")

    def split_of(value: str) -> str:
        point = int.from_bytes(hashlib.sha256(f"{salt}{value}".encode()).digest()[:8], "big") / 2**64
        edge = 0.0
        for split, fraction in fractions.items():
            edge += fraction
            if point < edge:
                return split
        return [split for split, fraction in fractions.items() if fraction > 0][-1]

    def rule(rows: pd.DataFrame) -> list[str]:
        if by not in rows:
            raise DatasetError(f"no column {by!r} to split by; map it under columns: {by}: <its name in the table>")
        return [split_of(str(value)) for value in rows[by]]

    return rule


def by_list(files: Mapping[str, str], other: str | None = None, by: str = "track_id") -> SplitRule:
    """Splits listed in text files, one id a line: {test: test_ids.txt}; ids in no file are in split `other`.

    Without `other`, an id that is in no file is refused, as is one that is in two.
    """
    split_of: dict[str, str] = {}
    for split, file in files.items():
        if not Path(file).is_file():
            raise DatasetError(f"{file}: no such list of {by}s for split {split!r}; make it, one a line")
        for value in filter(None, map(str.strip, Path(file).read_text(encoding="utf-8").splitlines())):
            if split_of.setdefault(value, split) != split:
                raise DatasetError(f"{file}: {by} {value!r} is in {split_of[value]!r} too; leave it in one list")

    def rule(rows: pd.DataFrame) -> list[str]:
        if by not in rows:
            raise DatasetError(f"no column {by!r} to split by; there are {list(rows.columns)}")
        splits = [split_of.get(str(value), other) for value in rows[by]]
        if None in splits:
            value = rows[by].iloc[splits.index(None)]
            raise DatasetError(f"{by} {value!r} is in none of {list(files.values())}; add it, or set `other`")
        return splits

    return rule
