"""Where each row of a new store comes from: shards just written, shards of earlier generations, or the store before."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.held import Held, Shard
from diffgar.dataloading.store.reader import Store

COMPUTED = ("_seconds", "_audio")  # columns that extraction adds to the plan's


@dataclass
class Row:
    """One row of the new store: its frames (T, D), its embedding (P,) or None, and its further columns."""

    row_id: str
    frames: np.ndarray
    embedding: np.ndarray | None
    extra: dict


class Sources:
    """Finds each row of a plan: in the new shards, in older ones, or in the store that was joined before."""

    def __init__(self, folder: Path, shards: list[Shard], held: Held, same: Mapping[str, str]):
        self.shards, self.held, self.same = shards, held, same
        self.new = {row_id: (shard, i) for shard in shards for i, row_id in enumerate(shard.meta["kept"])}
        self.reasons = {item["row_id"]: item for shard in shards for item in shard.meta["skipped"]}
        self.old = Store(folder) if held.joined else None
        embeddings = folder / "embeddings.npy"
        self.old_embeddings = np.load(embeddings) if self.old and embeddings.is_file() else None
        self.open: dict[Path, Shard] = {}  # the last one of each generation

    def ids(self, plan: pd.DataFrame) -> list[str]:
        """The rows that have latents, in the plan's order."""
        left_out = {item["row_id"] for item in self.skipped(plan)}
        return [row_id for row_id in plan["row_id"] if row_id not in left_out]

    def same_rows(self, ids: list[str]) -> bool:
        """Whether all these rows are those of the store that was joined before, in its order."""
        return not self.new and not self.held.in_shards and ids == list(self.held.joined)

    def rows(self, plan: pd.DataFrame) -> Iterator[Row]:
        """The rows that have latents, in the plan's order. Raises StoreError for one that has gone meanwhile."""
        for row_id, key in zip(plan["row_id"], plan["_key"], strict=True):
            if row_id in self.new:
                yield self._from_shard(row_id, *self.new[row_id])
            elif row_id in self.reasons or self.held.reason(row_id, key):
                continue
            elif (in_shard := self.held.in_shards.get(row_id)) and in_shard[0] == key:
                yield self._from_shard(row_id, *in_shard[1:])
            elif (at := self.held.joined.get(row_id)) and at[0] in (key, self.same.get(row_id)):
                yield self._from_store(row_id, at[1])
            else:
                raise StoreError(f"{row_id!r} has gone from the store while it was written; run the same command again")

    def skipped(self, plan: pd.DataFrame) -> list[dict]:
        """The rows that were left out, with their reasons."""
        pairs = zip(plan["row_id"], plan["_key"], strict=True)
        found = (self.reasons.get(row_id) or self.held.reason(row_id, key) for row_id, key in pairs)
        return [item for item in found if item and item["row_id"] not in self.new]

    def counts(self) -> dict[str, int]:
        """What the new shards and the store before have counted, summed by name: {"num_truncated": 3}."""
        total = Counter(
            {k: v for k, v in (self.old.card.notes or {}).items() if isinstance(v, int)} if self.old else {}
        )
        for shard in self.shards:
            total.update(shard.meta["counts"])
        return dict(total)

    def _from_shard(self, row_id: str, shard: Shard, i: int) -> Row:
        last = self.open.get(shard.path.parent)
        if last is not None and last is not shard:
            last.release()
        self.open[shard.path.parent] = shard
        frames, offsets, embeddings = shard.arrays
        embedding = None if embeddings is None else embeddings[i]
        return Row(row_id, frames[offsets[i] : offsets[i + 1]], embedding, shard.meta["extra"].get(row_id, {}))

    def _from_store(self, row_id: str, i: int) -> Row:
        old = self.old
        assert old is not None  # what is held as joined is in it
        extra = {column: old.rows[column].iloc[i] for column in COMPUTED if column in old.rows}
        embedding = None if self.old_embeddings is None else self.old_embeddings[i]
        return Row(row_id, old.row(i), embedding, extra)
