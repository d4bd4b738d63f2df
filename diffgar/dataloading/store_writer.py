"""The latent store's writer: shard by shard, so that a kill loses at most the shard in progress.

    <folder>/writing/card.json                 what the shards are made with
    <folder>/writing/<generation>/plan.json    the ids to encode, in order: what the store does not hold yet
    <folder>/writing/<generation>/000000.npz   a shard, committed by a rename

A generation is one table and its files. A store that a later table extends, or whose captions or files have changed,
gets another generation, which encodes only what is new; `store_join.py` then makes one store of both. Several jobs may
write shards of one generation; the one that finds them all there joins them, in the table's order, so that the store
does not depend on who wrote what.
"""

import json
import shutil
import zlib
from collections.abc import Collection, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from diffgar.dataloading.card import Card, StoreError, write_atomically
from diffgar.dataloading.half import MOST_ROUNDING, fault_of, rounding_of
from diffgar.dataloading.store_held import Held, Shard
from diffgar.dataloading.store_join import COMPUTED, install, join


class StoreWriter:
    """Brings the store that `card` describes to what `plan` says, in shards of `card.shard_size` rows.

    plan: one row per item, with `row_id` (unique), `split`, `_key` (what the row's latents are made of: under another
    key it is encoded anew; without keys a row is its id), and whatever else the table of rows should keep. same: ids
    that the store holds under another key, but whose content is known to be the same. keep_gone: rows of the store that
    the plan lacks stay in it, in no split; else they go. A folder of another encoder or dataset is refused
    (StoreError): nothing in it is lost.
    """

    def __init__(
        self,
        folder: Path | str,
        card: Card,
        plan: pd.DataFrame,
        same: Collection[str] = (),
        keep_gone: bool = False,
    ):
        self.folder, self.card = Path(folder), card
        self.plan = plan.assign(_key=plan.get("_key", "")).reset_index(drop=True)
        self._refuse_bad_plan()
        self.same, self.writing = frozenset(same), self.folder / "writing"
        self.todo: list[int] = []  # positions in the plan, in the order of the shards
        with self._lock():
            install(self.folder)  # where a kill has interrupted that
            self._refuse_another()
            if keep_gone:
                self.plan = with_gone_rows(self.plan, self.folder)
            self.ids, self.keys = self.plan["row_id"].tolist(), self.plan["_key"].tolist()
            self.card.plan = table_hash(self.plan)
            content = repr((card.shard_size, self.ids, self.keys))
            self.generation = self.writing / sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            if self.finished:
                shutil.rmtree(self.generation, ignore_errors=True)  # where a kill came just after the join
            else:
                self._begin()

    @property
    def finished(self) -> bool:
        """Whether the store is that of this very plan. Without its skipped.csv it is not: those are tried again."""
        if not (self.folder / "rows.parquet").is_file() or not (self.folder / "card.json").is_file():
            return False
        card = Card.load(self.folder)
        return card.plan == self.card.plan and (not card.num_skipped or (self.folder / "skipped.csv").is_file())

    def _lock(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "store.lock")

    def _refuse_bad_plan(self) -> None:
        if self.plan.empty:
            raise StoreError(f"{self.folder}: nothing to extract, the dataset {self.card.dataset!r} is empty")
        repeated = self.plan["row_id"][self.plan["row_id"].duplicated()]
        if len(repeated):
            raise StoreError(
                f"{self.folder}: id {repeated.iloc[0]!r} stands twice in dataset {self.card.dataset!r}; make ids unique"
            )

    def _refuse_another(self) -> None:
        for place in (self.folder, self.writing):
            if (place / "card.json").is_file():
                self.card.refuse_another(Card.load(place), self.folder)

    def _begin(self) -> None:
        """Find what the store holds already, and write down what this generation is to encode."""
        self.held = Held.read(self.folder, without=self.generation)
        missing = [i for i, item in enumerate(zip(self.ids, self.keys, strict=True)) if not self._is_held(*item)]
        path = self.generation / "plan.json"
        if path.is_file():
            self.todo = json.loads(path.read_text(encoding="utf-8"))["todo"]
            if set(missing) <= set(self.todo):
                return
            aside = f"{self.generation.name}-{len(list(self.writing.iterdir()))}"
            self.generation.rename(self.writing / aside)  # the store that it was to extend is another by now
            self._begin()
            return
        self.generation.mkdir(parents=True, exist_ok=True)
        self.todo = missing
        write_atomically(self.writing / "card.json", self.card.as_json())
        write_atomically(path, json.dumps({"todo": missing}).encode())

    def _is_held(self, row_id: str, key: str) -> bool:
        return self.held.has(row_id, key) or (row_id in self.same and row_id in self.held.joined)

    @property
    def num_shards(self) -> int:
        return -(-len(self.todo) // self.card.shard_size)

    def rows_of(self, shard: int) -> list[int]:
        """The rows of the plan that a shard holds."""
        return self.todo[shard * self.card.shard_size : (shard + 1) * self.card.shard_size]

    def pending(self, index: int = 0, count: int = 1) -> list[int]:
        """The shards that job `index` of `count` has still to write."""
        return [s for s in range(index, self.num_shards, count) if not self._path(s).is_file()]

    def skipped(self) -> list[dict]:
        """The rows that were left out so far, by this generation and by those before, with their reasons."""
        if self.finished:
            return []
        wanted = dict(zip(self.ids, self.keys, strict=True))
        before = [item for item in self.held.skipped.values() if wanted.get(item["row_id"]) == item["_key"]]
        try:
            done = [Shard(path) for path in sorted(self.generation.glob("*.npz"))]
            return before + [item for shard in done for item in shard.meta["skipped"]]
        except FileNotFoundError:  # another job joins the shards just now
            return before

    def _path(self, shard: int) -> Path:
        return self.generation / f"{shard:06d}.npz"

    def write_shard(
        self,
        shard: int,
        frames: dict[str, np.ndarray],
        skipped: Sequence[dict] = (),
        embeddings: dict[str, np.ndarray] | None = None,
        extra: dict[str, dict] | None = None,
        counts: dict[str, int] | None = None,
    ) -> None:
        """Commit a shard: `frames` maps row_id to (T, D) finite latents; rows left out stand in `skipped`.

        skipped: `{"row_id", "path", "reason"}` each. embeddings: row_id to (P,). extra: row_id to further columns.
        counts: name to a number whose sum over all shards the card will note.
        Raises StoreError for a row that is neither, and for values that float16 cannot hold.
        """
        keys = {self.ids[i]: self.keys[i] for i in self.rows_of(shard)}
        left_out = {item["row_id"] for item in skipped}
        kept = [row_id for row_id in keys if row_id not in left_out]
        if missing := [row_id for row_id in kept if row_id not in frames]:
            raise StoreError(f"{self.folder}: shard {shard} has neither latents nor a reason for {missing[0]!r}")
        blocks = [self._checked(row_id, frames[row_id]) for row_id in kept]
        self._refuse_rounded([frames[row_id] for row_id in kept])
        flat = np.concatenate(blocks) if blocks else np.zeros((0, self.card.dim), np.float16)
        content = {"frames": flat, "lengths": np.array([len(b) for b in blocks], dtype=np.int64)}
        if embeddings is not None:
            content["embeddings"] = np.stack([embeddings[row_id] for row_id in kept]).astype(np.float32)
        meta = {"kept": kept, "keys": [keys[row_id] for row_id in kept], "extra": extra or {}, "counts": counts or {}}
        meta["skipped"] = [item | {"_key": keys[item["row_id"]]} for item in skipped]
        meta["crc32"] = zlib.crc32(flat)
        content["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        buffer = BytesIO()
        np.savez(buffer, **content)
        try:
            write_atomically(self._path(shard), buffer.getvalue())
        except FileNotFoundError:  # another process, which wrote the same shards, has joined them and taken them away
            if not self.finished:
                raise StoreError(
                    f"{self.folder}: another extraction wrote this store at the same time; run this one again"
                ) from None

    def _checked(self, row_id: str, latents: np.ndarray) -> np.ndarray:
        if latents.ndim != 2 or latents.shape[1] != self.card.dim or len(latents) == 0:
            raise StoreError(f"{row_id!r}: latents of shape {latents.shape}, expected (frames, {self.card.dim})")
        if fault := fault_of(latents):
            raise StoreError(f"{self.folder}: {row_id!r} {fault}; check its audio and the encoder's weights")
        return np.asarray(latents, dtype=np.float16)

    def _refuse_rounded(self, latents: list[np.ndarray]) -> None:
        if latents and (share := rounding_of(latents)) > MOST_ROUNDING:
            raise StoreError(
                f"{self.folder}: the store's float16 would move these latents by {share:.0%} of their standard "
                "deviation; subtract their common mean, or scale them to about 1, before they are stored"
            )

    def finish(self) -> bool:
        """Join the shards once all are there; True if the store is complete. Safe to call from every job."""
        if self.finished:
            return True
        with self._lock():
            if self.finished:
                return True
            if self.pending():
                return False
            shards = [Shard(self._path(s)) for s in range(self.num_shards)]
            join(self.folder, self.card, self.plan, shards, self.held, self.same)
            for used in (self.generation, *self.held.used_up(self.ids)):
                shutil.rmtree(used, ignore_errors=True)
            if not any(path.is_dir() for path in self.writing.iterdir()):
                shutil.rmtree(self.writing, ignore_errors=True)
        return True


def with_gone_rows(plan: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The plan, and after it the rows that the folder's store holds and the plan lacks, in the split "": in none."""
    if not (folder / "rows.parquet").is_file():
        return plan
    held = pd.read_parquet(folder / "rows.parquet")
    gone = held[~held["row_id"].isin(plan["row_id"])].assign(split="")
    if gone.empty:
        return plan
    return pd.concat([plan, gone.drop(columns=[c for c in COMPUTED if c in gone])], ignore_index=True)


def table_hash(plan: pd.DataFrame) -> str:
    """A hash of a table's columns and cells, in their order."""
    total = sha256("\t".join(plan.columns).encode())
    for column in plan:
        total.update("\n".join(map(repr, plan[column].tolist())).encode())
    return total.hexdigest()[:16]
