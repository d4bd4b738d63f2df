"""What a store's folder holds already: the joined store, and the shards of generations that were not joined."""

import json
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import StoreError


class Shard:
    """One committed file of a generation: the latents of some rows, and the reasons of those left out."""

    def __init__(self, path: Path):
        self.path = path
        self.meta = json.loads(self._read("meta")["meta"].tobytes())

    def _read(self, *names: str) -> dict[str, np.ndarray]:
        """Those of the named arrays that it has. The file is closed again: a store may have more than may be open."""
        try:
            with np.load(self.path) as content:
                return {name: content[name] for name in names if name in content}
        except FileNotFoundError:
            raise
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"{self.path}: a damaged shard ({error}); if it stays so, delete it, and extract again"
            ) from error

    @property
    def ids(self) -> set[str]:
        """The ids of the rows that it settles, kept or left out."""
        return {*self.meta["kept"], *(item["row_id"] for item in self.meta["skipped"])}

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Frames (F, D), offsets (N + 1,) and embeddings (N, P) or None."""
        content = self._read("frames", "lengths", "embeddings")
        offsets = np.concatenate([[0], np.cumsum(content["lengths"])]).astype(np.int64)
        return content["frames"], offsets, content.get("embeddings")

    def release(self) -> None:
        """Forget the arrays, which may be large; they are read again when they are needed."""
        self.__dict__.pop("arrays", None)


@dataclass
class Held:
    """Where each row's latents are. joined: row_id → (key, position in the joined store); in_shards: row_id → (key,
    shard, position); skipped: row_id → {"row_id", "path", "reason", "_key"}."""

    joined: dict[str, tuple[str, int]] = field(default_factory=dict)
    in_shards: dict[str, tuple[str, Shard, int]] = field(default_factory=dict)
    skipped: dict[str, dict] = field(default_factory=dict)
    shards: list[Shard] = field(default_factory=list)
    generations: list[Path] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, without: Path | None = None) -> "Held":
        """What a folder holds, without the generation that is being written, if one is given."""
        held = cls()
        if (folder / "rows.parquet").is_file():
            rows = read_rows(folder)
            pairs = zip(rows["row_id"], rows["_key"], strict=True)
            held.joined = {row_id: (key, i) for i, (row_id, key) in enumerate(pairs)}
        if (folder / "skipped.csv").is_file():
            table = pd.read_csv(folder / "skipped.csv", dtype=str, keep_default_na=False)
            held.skipped = {item["row_id"]: item for item in table.to_dict("records")}
        writing = folder / "writing"
        held.generations = [p for p in sorted(writing.glob("*")) if p.is_dir() and p != without]
        for generation in held.generations:
            for shard in map(Shard, sorted(generation.glob("*.npz"))):
                held.shards.append(shard)
                pairs = zip(shard.meta["kept"], shard.meta["keys"], strict=True)
                held.in_shards |= {row_id: (key, shard, i) for i, (row_id, key) in enumerate(pairs)}
                held.skipped |= {item["row_id"]: item for item in shard.meta["skipped"]}
        return held

    def has(self, row_id: str, key: str, other_key: str | None = None) -> bool:
        """Whether a row needs no encoding: its latents are here, or it was left out before under the same key.

        other_key: a key under which the joined store may hold latents of the same content, or None.
        """
        joined, in_shards = self.joined.get(row_id), self.in_shards.get(row_id)
        if joined and joined[0] in (key, other_key) or in_shards and in_shards[0] == key:
            return True
        return self.reason(row_id, key) is not None

    def reason(self, row_id: str, key: str) -> dict | None:
        """The entry in `skipped` of a row that was left out under this very key; None for any other."""
        item = self.skipped.get(row_id)
        return item if item and item.get("_key") == key else None  # a person may have edited skipped.csv

    def used_up(self, ids: Collection[str]) -> list[Path]:
        """The files of those older shards whose kept rows are all in a store of these ids: they may be deleted."""
        ids = set(ids)
        return [shard.path for shard in self.shards if ids.issuperset(shard.meta["kept"])]


def read_rows(folder: Path) -> pd.DataFrame:
    """The table of a store's rows. Raises StoreError for a damaged one."""
    try:
        return pd.read_parquet(folder / "rows.parquet")
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise StoreError(
            f"{folder / 'rows.parquet'} is damaged ({error}); delete {folder} and extract it again"
        ) from error
