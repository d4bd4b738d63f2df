"""The latent store's writer: shard by shard, so that a kill loses at most the shard in progress.

    <folder>/writing/card.json        what the shards are made with
    <folder>/writing/<generation>/    the shards of the rows that the store lacks (generation.py)

A store that a later table extends, or whose captions or files have changed, gets another generation, which encodes only
what is new; join.py then makes one store of both. Several jobs may write shards of one generation. The job that finds
all of them written joins them, in an order that the table gives, so that the store does not depend on which job wrote
what. Jobs with another version of the table have generations of their own, and may join them in between.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from diffgar.dataloading.store.card import Card, StoreError, write_atomically
from diffgar.dataloading.store.generation import Generation
from diffgar.dataloading.store.held import Held
from diffgar.dataloading.store.install import READY, install
from diffgar.dataloading.store.join import join
from diffgar.dataloading.store.keys import key_of
from diffgar.dataloading.store.mixed import parts_of
from diffgar.dataloading.store.pack import packed
from diffgar.dataloading.store.plan import refuse_bad_plan, table_hash, with_gone_rows


class StoreWriter:
    """Brings the store that `card` describes up to date with `plan`, in shards of `card.shard_size` rows.

    plan: one row per item, with `row_id` (unique), `split`, optionally `_key`, and further columns that the store's
    table keeps. `_key` identifies the row's input, such as a hash of its caption: a row whose key differs from that in
    the store is encoded again; without keys, a row whose id is in the store is not. same: row_id → the key in the
    store, for rows whose key differs though their content is known to be the same. keep_gone: whether rows of the
    store that the plan lacks stay, in no split; otherwise they are dropped. Raises StoreError for a folder of another
    encoder or dataset, and leaves it as it is.
    """

    def __init__(
        self,
        folder: Path | str,
        card: Card,
        plan: pd.DataFrame,
        same: Mapping[str, str] | None = None,
        keep_gone: bool = False,
    ):
        self.folder, self.card, self.keep_gone = Path(folder), card, keep_gone
        self.given = self.plan = plan.assign(_key=plan.get("_key", "")).reset_index(drop=True)
        refuse_bad_plan(plan, self.folder, card.dataset)
        self.ids, self.keys = self.given["row_id"].tolist(), self.given["_key"].tolist()
        self.same, self.writing = dict(same or {}), self.folder / "writing"
        self.missing: set[int] = set()  # positions in the plan of the rows that nothing held when this job began
        self.table = key_of(card.shard_size, self.ids, self.keys)
        self.generation = Generation(self.writing / self.table, [], card.shard_size)  # of a finished store: no rows
        writable = not self.folder.exists() or os.access(self.folder, os.W_OK)
        with self._lock() if writable else nullcontext():
            self._catch_up()
            if not self.finished and not writable:
                raise StoreError(
                    f"{self.folder} is not what this table asks for, and may not be written to; ask whoever owns it, "
                    "or extract into a folder of your own: paths.latents=my_latents"
                )
            if self.finished:
                for leftover in self.writing.glob(f"{self.table}-*"):  # where a kill came just after the join
                    shutil.rmtree(leftover, ignore_errors=True)
            else:
                self._begin()

    @property
    def finished(self) -> bool:
        """Whether the store is exactly that of the plan.

        A store that left rows out but has lost its skipped.csv is not finished: those rows are tried again.
        """
        if not (self.folder / "rows.parquet").is_file() or not (self.folder / "card.json").is_file():
            return False
        card = Card.load(self.folder)
        whole = not (self.folder / READY).is_dir() and (not card.num_skipped or (self.folder / "skipped.csv").is_file())
        return card.plan == self.card.plan and whole

    def _lock(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "store.lock")

    def _catch_up(self) -> None:
        """Read the folder again, because jobs with other tables may have changed it."""
        install(self.folder)  # completes an installation that a kill interrupted
        if parts_of(self.folder):
            raise StoreError(
                f"{self.folder} holds the store of a mix, which reads those of its parts; delete it, or use another "
                "data.name"
            )
        for place in (self.folder, self.writing):
            if (place / "card.json").is_file():
                self.card.refuse_another(Card.load(place), self.folder)
        self.plan = with_gone_rows(self.given, self.folder) if self.keep_gone else self.given
        self.card.plan = table_hash(self.plan)

    def _begin(self) -> None:
        """Find the rows that the store lacks, and resume or begin the generation that encodes them.

        An unfinished generation is resumed if it covers all of these rows; the store may have changed since it began.
        """
        for generation in Generation.begun(self.writing, self.table, self.card.shard_size):
            self._read_held(without=generation)
            if self.missing <= set(generation.todo):
                self.generation = generation
                return
        self._read_held()
        self.generation = Generation.new(self.writing, self.table, self.missing, self.card.shard_size)
        self._write_plan()

    def _read_held(self, without: Generation | None = None) -> None:
        self.held = Held.read(self.folder, without.path if without else None)
        rows = enumerate(zip(self.ids, self.keys, strict=True))
        self.missing = {i for i, (row_id, key) in rows if not self.held.has(row_id, key, self.same.get(row_id))}

    def _write_plan(self) -> None:
        self.writing.mkdir(parents=True, exist_ok=True)
        write_atomically(self.writing / "card.json", self.card.as_json())  # first: it refuses jobs of other encoders
        self.generation.write_plan()

    def rows_of(self, shard: int) -> list[int]:
        """The positions in the plan of the rows that a shard holds."""
        return self.generation.rows_of(shard)

    def pending(self, index: int = 0, count: int = 1) -> list[int]:
        """The shards that job `index` of `count` has still to write.

        A job's shards follow each other in the table: where that lists the files that hold many tracks (Parquet, tars)
        one after the other, each file is read by one job, but for those at the ends of a job's part.
        """
        total = self.generation.num_shards
        mine = range(-(-index * total // count), -(-(index + 1) * total // count))
        left = (shard for shard in mine if not self.missing.isdisjoint(self.rows_of(shard)))
        return [shard for shard in left if not self.generation.path_of(shard).is_file()]

    def skipped(self) -> list[dict]:
        """The rows that were left out so far, by this generation and by those before, with their reasons."""
        if self.finished:
            return []
        found = {i: self.held.reason(i, key) for i, key in zip(self.ids, self.keys, strict=True)}
        try:
            for shard in self.generation.shards():
                found |= {item["row_id"]: item for item in shard.meta["skipped"]}
        except FileNotFoundError:  # another job joins the shards just now
            pass
        return [item for item in found.values() if item]

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
        counts: name to a number; the card records its sum over all shards.
        Raises StoreError for a row that is in neither, and for values that float16 cannot hold.
        """
        keys = {self.ids[i]: self.keys[i] for i in self.rows_of(shard)}
        missing = keys.keys() - frames.keys() - {item["row_id"] for item in skipped}
        if missing:
            raise StoreError(f"{self.folder}: shard {shard} has neither latents nor a reason for {min(missing)!r}")
        content = packed(keys, frames, skipped, embeddings, {"extra": extra or {}, "counts": counts or {}}, self.card)
        try:
            write_atomically(self.generation.path_of(shard), content)
        except FileNotFoundError:  # another job joined, and deleted this folder as a killed job's
            if self.finished:
                return
            with self._lock():
                self._write_plan()
                write_atomically(self.generation.path_of(shard), content)

    def finish(self) -> bool:
        """Join the shards once all are there; True if the store is complete. Safe to call from every job."""
        if self.finished:
            return True
        with self._lock():
            self._catch_up()
            if self.finished:
                return True
            self._read_held(without=self.generation)
            shards = self.generation.shards()
            settled = set().union(*(shard.ids for shard in shards))
            if any(self.ids[i] not in settled for i in self.missing):
                return False
            join(self.folder, self.card, self.plan, self.generation.path, shards, self.held, self.same)
        return True
