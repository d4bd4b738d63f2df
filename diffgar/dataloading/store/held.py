"""What a store's folder holds already: the joined store, and the shards of generations that were not joined."""

import json
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import StoreError, write_atomically


class Shard:
    """One committed file of a generation: the latents of some rows, and the reasons of those left out.

    A join takes its rows into the store's `frames.f16` and leaves their places here, so that a killed one goes on.
    """

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
    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """Starts and lengths (N,) of its rows in frames; the start of one that lies in `frames.f16`, -1 of one here."""
        content = self._read("starts", "lengths")
        lengths = content["lengths"].astype(np.int64)
        return content.get("starts", np.full(len(lengths), -1)), lengths

    @cached_property
    def embeddings(self) -> np.ndarray | None:
        """(N, P) float32, or None where its encoder makes none."""
        return self._read("embeddings").get("embeddings")

    @property
    def taken_until(self) -> int:
        """The frame of `frames.f16` behind the last one that it has a place of."""
        starts, lengths = self.spans
        return int((starts + lengths)[starts >= 0].max(initial=0))

    def frames_of(self, rows: np.ndarray) -> np.ndarray:
        """The frames (F, D) of those rows (N,) bool, all of which lie in the shard, one row after the other."""
        starts, lengths = self.spans
        here = starts < 0
        return self._read("frames")["frames"][np.repeat(rows[here], lengths[here])]

    def rewrite(self, rows: np.ndarray, starts: np.ndarray) -> None:
        """Keep these rows alone, (N,) bool, and of those that lie in `frames.f16` by now, `starts` (N,), the place."""
        embeddings = self.embeddings
        kept = [row_id for row_id, stays in zip(self.meta["kept"], rows, strict=True) if stays]
        meta = self.meta | {
            "kept": kept,
            "keys": [key for key, stays in zip(self.meta["keys"], rows, strict=True) if stays],
            "extra": {row_id: self.meta["extra"][row_id] for row_id in kept if row_id in self.meta["extra"]},
        }
        content = {
            "frames": self.frames_of(rows & (starts < 0)),
            "lengths": self.spans[1][rows],
            "starts": starts[rows],
        }
        if embeddings is not None:
            content["embeddings"] = embeddings[rows]
        write_atomically(self.path, archive(meta, content))
        self.release()
        self.meta = meta

    def release(self) -> None:
        """Forget what was read; it is read again when it is needed."""
        for name in ("spans", "embeddings"):
            self.__dict__.pop(name, None)


def archive(meta: dict, content: dict[str, Any]) -> bytes:
    """The bytes of a shard's file."""
    buffer = BytesIO()
    np.savez(buffer, **content, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8))
    return buffer.getvalue()


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


def read_rows(folder: Path) -> pd.DataFrame:
    """The table of a store's rows. Raises StoreError for a damaged one."""
    try:
        return pd.read_parquet(folder / "rows.parquet")
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise StoreError(
            f"{folder / 'rows.parquet'} is damaged ({error}); delete {folder} and extract it again"
        ) from error
