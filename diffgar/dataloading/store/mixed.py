"""A mix's store as it is read: a table of its own, and frames that lie in the stores of its parts.

    <folder>/parts.json     {part: the folder of its store, relative to this one}
    <folder>/rows.parquet   the mix's rows: `<part>/<row of the part's store>`, and in a text store "<empty>"

A row is found in its part's store by its id and its key, so that a part may grow, shrink and be compacted.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card, StoreError

if TYPE_CHECKING:
    from diffgar.dataloading.store.reader import Store

PARTS = "parts.json"


class JoinedFrames:
    """The frames of several stores as one array (F, D) that is never made: those of the first, then the second's, …"""

    dtype = np.dtype(np.float16)

    def __init__(self, parts: Sequence):
        self.parts = list(parts)
        self.firsts = np.cumsum([0, *map(len, self.parts)])  # of each part, and the number of all

    def __len__(self) -> int:
        return int(self.firsts[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """(F, D)."""
        return len(self), self.parts[0].shape[1]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """The frames of a slice, or of an array of positions of any shape."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            spans = [(max(0, start - first), stop - first) for first in self.firsts[:-1]]
            blocks = [part[a:b] for part, (a, b) in zip(self.parts, spans, strict=True) if a < min(b, len(part))]
            return (
                blocks[0] if len(blocks) == 1 else np.concatenate([np.zeros((0, self.shape[1]), self.dtype), *blocks])
            )
        found = np.empty((*index.shape, self.shape[1]), self.dtype)
        owners = np.searchsorted(self.firsts, index, side="right") - 1
        for number in np.unique(owners):
            mine = owners == number
            found[mine] = self.parts[number][index[mine] - self.firsts[number]]
        return found


@dataclass(frozen=True)
class Places:
    """For each row of a mix the number of its part and its position in the part's store, (N,) each."""

    part: np.ndarray
    position: np.ndarray

    @classmethod
    def of(cls, folder: Path, rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> "Places":
        """Find rows by id and key. tables: the tables of the parts' stores, by part.

        Raises StoreError where a part's store has a row no more, or has another content under its id.
        """
        names = rows["row_id"].str.partition("/")  # part, slash, id; a row without a slash is the first part's
        shared = names[1] == ""
        places = cls(np.full(len(rows), -1), np.full(len(rows), -1))
        for number, (name, table) in enumerate(tables.items()):
            mine = np.flatnonzero((names[0] == name) & ~shared | shared & (number == 0))
            ids = names[2].iloc[mine].where(~shared.iloc[mine], rows["row_id"].iloc[mine])
            found = pd.Index(table["row_id"]).get_indexer(ids)
            same = table["_key"].to_numpy()[found] == rows["_key"].to_numpy()[mine]
            places.part[mine], places.position[mine] = number, np.where(same, found, -1)
        if (lost := np.flatnonzero(places.position < 0)).size:
            raise StoreError(
                f"{folder}: {len(lost)} rows of this mix, the first {rows['row_id'].iloc[lost[0]]!r}, have changed in "
                "the stores of its parts, or have gone from there; run extract_dataset.py with the mix again"
            )
        return places

    def gathered(self, of_parts: Sequence[np.ndarray]) -> np.ndarray:
        """What the parts' stores have of their rows, (N_k, …) each, for the rows of the mix: (N, …)."""
        found = np.empty((len(self.part), *of_parts[0].shape[1:]), of_parts[0].dtype)
        for number, values in enumerate(of_parts):
            mine = self.part == number
            found[mine] = values[self.position[mine]]
        return found


def opened(
    folder: Path, card: Card, rows: pd.DataFrame, parts: Mapping[str, "Store"]
) -> tuple[Places, tuple[np.ndarray, np.ndarray]]:
    """Where the rows of a mix are, and their starts and lengths (N,) in the frames of its parts, one after the other.

    Raises StoreError for a part of another encoding than the mix's card says.
    """
    for part in parts.values():
        part.require(**card.encoding())
    places = Places.of(folder, rows, {name: part.rows for name, part in parts.items()})
    firsts = np.cumsum([0, *(len(part.frames) for part in parts.values())])
    starts = [first + part.starts for first, part in zip(firsts, parts.values(), strict=False)]
    return places, (places.gathered(starts), places.gathered([part.lengths for part in parts.values()]))


def parts_of(folder: Path) -> dict[str, Path]:
    """The folders of the stores that a mix's store reads, by part; none for a store with frames of its own."""
    path = folder / PARTS
    if not path.is_file():
        return {}
    return {name: folder / place for name, place in json.loads(path.read_text(encoding="utf-8")).items()}
