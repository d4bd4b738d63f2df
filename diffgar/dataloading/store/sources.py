"""Where each row of a new store comes from: shards just written, shards of earlier generations, or the store before."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.held import Held, Shard
from diffgar.dataloading.store.reader import Store

COMPUTED = ("_seconds", "_audio")  # columns that extraction adds to the plan's


@dataclass(frozen=True)
class Before:
    """The store that was joined before: its card, its table, its rows' starts and lengths (N,), its embeddings."""

    card: Card
    rows: pd.DataFrame
    starts: np.ndarray
    lengths: np.ndarray
    embeddings: np.ndarray | None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What a folder's store has beside its frames, which it does not keep open."""
        store, embeddings = Store(folder), folder / "embeddings.npy"
        held = np.load(embeddings, mmap_mode="r") if embeddings.is_file() else None
        return cls(store.card, store.rows, store.starts, store.lengths, held)

    def train(self) -> np.ndarray:
        """The starts of the rows in the split "train", (n,)."""
        return self.starts[(self.rows["split"] == "train").to_numpy()]


class Sources:
    """Finds each row of a plan: in the new shards, in older ones, or in the store that was joined before.

    places: row_id → (the shard, or None for the store before; the row's position there), in the plan's order, of the
    rows that have latents. skipped: the rows that were left out, with their reasons.
    Raises StoreError for a row that has gone meanwhile.
    """

    def __init__(self, folder: Path, plan: pd.DataFrame, shards: list[Shard], held: Held, same: Mapping[str, str]):
        self.shards, self.held, self.same = shards, held, same
        self.before = Before.read(folder) if held.joined else None
        self.new = {row_id: (shard, i) for shard in shards for i, row_id in enumerate(shard.meta["kept"])}
        self.reasons = {item["row_id"]: item for shard in shards for item in shard.meta["skipped"]}
        self.skipped = self._skipped(plan)
        left_out = {item["row_id"] for item in self.skipped}
        pairs = zip(plan["row_id"], plan["_key"], strict=True)
        self.places = {row_id: self._place(row_id, key) for row_id, key in pairs if row_id not in left_out}

    def _place(self, row_id: str, key: str) -> tuple[Shard | None, int]:
        if row_id in self.new:
            return self.new[row_id]
        joined, in_shard = self.held.joined.get(row_id), self.held.in_shards.get(row_id)
        if joined and joined[0] in (key, self.same.get(row_id)):
            return None, joined[1]
        if in_shard and in_shard[0] == key:
            return in_shard[1:]
        raise StoreError(f"{row_id!r} has gone from the store while it was written; run the same command again")

    def _skipped(self, plan: pd.DataFrame) -> list[dict]:
        pairs = zip(plan["row_id"], plan["_key"], strict=True)
        found = (self.reasons.get(row_id) or self.held.reason(row_id, key) for row_id, key in pairs)
        return [item for item in found if item and item["row_id"] not in self.new]

    def wanted(self) -> dict[Shard, np.ndarray]:
        """The shards that have rows of the plan, in the order of the first of them, and which these are, (N,) bool."""
        found: dict[Shard, np.ndarray] = {}
        for shard, i in self.places.values():
            if shard is not None:
                found.setdefault(shard, np.zeros(len(shard.meta["kept"]), dtype=bool))[i] = True
        return found

    @property
    def leaves_taken(self) -> bool:
        """Whether shards have rows in `frames.f16` that are no rows of the plan: a killed job's, of another table."""
        return any(
            start >= 0 and row_id not in self.places
            for shard in self.held.shards
            for row_id, start in zip(shard.meta["kept"], shard.spans[0], strict=True)
        )

    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """The starts and lengths (N,) of the rows, all of which are in `frames.f16` by now, in the plan's order."""
        at = [(shard.spans if shard else self._spans_before(), i) for shard, i in self.places.values()]
        starts, lengths = (np.array([spans[k][i] for spans, i in at], dtype=np.int64) for k in (0, 1))
        return starts, lengths

    def _spans_before(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.before is not None  # a row's place without a shard is in it
        return self.before.starts, self.before.lengths

    def extra(self) -> pd.DataFrame:
        """The rows' further columns, in the plan's order."""
        before = self.before.rows if self.before else pd.DataFrame()
        known = {column: before[column].tolist() for column in COMPUTED if column in before}
        return pd.DataFrame(
            [
                shard.meta["extra"].get(row_id, {}) if shard else {name: cells[i] for name, cells in known.items()}
                for row_id, (shard, i) in self.places.items()
            ]
        )

    def embeddings(self) -> Iterator[np.ndarray]:
        """The rows' embeddings (P,), in the plan's order; none where the encoder makes none, or made none before."""
        before = self.before.embeddings if self.before else None
        if before is None and not all(shard for shard, _ in self.places.values()):
            return
        last: dict[Path, Shard] = {}  # of each generation, the shard that is read
        for shard, i in self.places.values():
            if shard and (other := last.get(shard.path.parent)) is not shard:
                if other:
                    other.release()
                last[shard.path.parent] = shard
            vectors = shard.embeddings if shard else before
            if vectors is not None:
                yield vectors[i]

    def counts(self) -> dict[str, int]:
        """What the new shards and the store before have counted, summed by name: {"num_truncated": 3}."""
        total = Counter(self.before.card.counts if self.before else {})
        for shard in self.shards:
            total.update(shard.meta["counts"])
        return dict(total)
