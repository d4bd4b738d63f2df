"""The latent store's writer: shard by shard, so that a kill loses at most the shard in progress.

Every shard is one file, committed by a rename. Several jobs may write shards of one store; the one that finds them
all there joins them, in order, so that the store does not depend on who wrote what.
"""

import json
import zlib
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from diffgar.dataloading.card import Card, StoreError, write_atomically
from diffgar.dataloading.latents import Store
from diffgar.dataloading.moments import Moments


class StoreWriter:
    """Writes the store that `card` describes, of the rows of `plan`, in shards of `card.shard_size` rows.

    plan: one row an item, with `row_id` (unique) and `split`, and whatever else the table of rows should keep.
    A folder that holds another encoder's store, or one of other rows, is refused: nothing in it is lost.
    """

    def __init__(self, folder: Path | str, card: Card, plan: pd.DataFrame):
        self.folder, self.card, self.plan = Path(folder), card, plan.reset_index(drop=True)
        if plan.empty:
            raise StoreError(f"{folder}: nothing to extract, the dataset {card.dataset!r} is empty")
        repeated = plan["row_id"][plan["row_id"].duplicated()]
        if len(repeated):
            raise StoreError(
                f"{folder}: id {repeated.iloc[0]!r} stands twice in dataset {card.dataset!r}; make ids unique"
            )
        self.shards = self.folder / "shards"
        if (self.folder / "card.json").is_file():
            self._refuse_another()
        if not self.finished:
            self.shards.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "card.json").is_file():
            write_atomically(self.folder / "plan.json", json.dumps(self._plan_key()).encode())
            self.card.save(self.folder)

    def _plan_key(self) -> dict:
        ids = "\n".join(self.plan["row_id"].astype(str) + "\t" + self.plan["split"].astype(str))
        return {
            "num_rows": len(self.plan),
            "crc32": zlib.crc32(ids.encode()),
            "shard_size": self.card.shard_size,
        }

    def _refuse_another(self) -> None:
        found = Card.load(self.folder)
        for name, wanted in self.card.identity().items():
            if getattr(found, name) != wanted:
                raise StoreError(
                    f"{self.folder}: holds latents with {name} {getattr(found, name)!r}, this run would write "
                    f"{wanted!r}; extract into another folder, or delete this one first"
                )
        plan = json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))
        if plan != self._plan_key():
            raise StoreError(
                f"{self.folder}: was begun for {plan['num_rows']} rows in shards of {plan['shard_size']}, this run has "
                f"{len(self.plan)} in shards of {self.card.shard_size}, or other rows; use the same table, or delete it"
            )

    @property
    def num_shards(self) -> int:
        return -(-len(self.plan) // self.card.shard_size)

    @property
    def finished(self) -> bool:
        return (self.folder / "rows.parquet").is_file()

    def rows_of(self, shard: int) -> range:
        """The rows of the plan that shard holds."""
        first = shard * self.card.shard_size
        return range(first, min(first + self.card.shard_size, len(self.plan)))

    def pending(self, index: int = 0, count: int = 1) -> list[int]:
        """The shards that job `index` of `count` has still to write."""
        if self.finished:
            return []
        return [s for s in range(index, self.num_shards, count) if not self._path(s).is_file()]

    def skipped(self) -> list[dict]:
        """What the shards committed so far left out, of a store that is not finished."""
        try:
            done = [] if self.finished else sorted(self.shards.glob("*.npz"))
            return [item for path in done for item in meta_of(np.load(path))["skipped"]]
        except FileNotFoundError:  # another job joins the shards just now
            return []

    def _path(self, shard: int) -> Path:
        return self.shards / f"{shard:06d}.npz"

    def write_shard(
        self,
        shard: int,
        frames: dict[str, np.ndarray],
        skipped: list[dict] = (),
        embeddings: dict[str, np.ndarray] | None = None,
        extra: dict[str, dict] | None = None,
        counts: dict[str, int] | None = None,
    ) -> None:
        """Commit a shard: `frames` maps row_id to (T, D) finite latents; rows left out stand in `skipped`.

        skipped: `{"row_id", "path", "reason"}` each. embeddings: row_id to (P,). extra: row_id to further columns.
        counts: name to a number whose sum over all shards the card will note.
        Raises StoreError for a row that is neither, and for values that fp16 cannot hold (NaN, infinite).
        """
        ids = [self.plan["row_id"][i] for i in self.rows_of(shard)]
        left_out = {item["row_id"] for item in skipped}
        kept = [i for i in ids if i not in left_out]
        missing = [i for i in kept if i not in frames]
        if missing:
            raise StoreError(f"{self.folder}: shard {shard} has neither latents nor a reason for {missing[0]!r}")
        blocks = [self._checked(i, frames[i]) for i in kept]
        flat = np.concatenate(blocks) if blocks else np.zeros((0, self.card.dim), np.float16)
        content = {"frames": flat, "lengths": np.array([len(b) for b in blocks], dtype=np.int64)}
        if embeddings is not None:
            content["embeddings"] = np.stack([embeddings[i] for i in kept]).astype(np.float32)
        meta = {"kept": kept, "skipped": list(skipped), "extra": extra or {}, "counts": counts or {}}
        content["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        buffer = BytesIO()
        np.savez(buffer, **content)
        write_atomically(self._path(shard), buffer.getvalue())

    def _checked(self, row_id: str, latents: np.ndarray) -> np.ndarray:
        if latents.ndim != 2 or latents.shape[1] != self.card.dim or len(latents) == 0:
            raise StoreError(f"{row_id!r}: latents of shape {latents.shape}, expected (frames, {self.card.dim})")
        with np.errstate(over="ignore"):
            half = np.asarray(latents, dtype=np.float16)
        if not np.isfinite(half).all():
            raise StoreError(
                f"{row_id!r}: latents with NaN or infinite values; check its audio and the encoder's weights"
            )
        return half

    def finish(self) -> bool:
        """Join the shards once all are there; True if the store is complete. Safe to call from every job."""
        if self.finished:
            return True
        with FileLock(self.folder / "finish.lock"):
            if not self.finished:
                if not all(self._path(s).is_file() for s in range(self.num_shards)):
                    return False
                self._join()
        (self.folder / "finish.lock").unlink(missing_ok=True)
        return True

    def _join(self) -> None:
        card, lengths, kept, skipped, extra, embeddings, counts = self.card, [], [], [], {}, [], Counter()
        card.checksums, moments = [], Moments(card.dim)
        train = set(self.plan["row_id"][self.plan["split"] == "train"])
        with (self.folder / "frames.f16").open("wb") as out:
            for shard in range(self.num_shards):
                content = np.load(self._path(shard))
                meta, frames = meta_of(content), content["frames"]
                out.write(frames)
                card.checksums.append([len(frames), zlib.crc32(frames)])
                in_train = np.repeat([i in train for i in meta["kept"]], content["lengths"]).astype(bool)
                moments.add(frames[in_train])
                lengths.append(content["lengths"])
                kept += meta["kept"]
                skipped += meta["skipped"]
                extra |= meta["extra"]
                counts.update(meta["counts"])
                if "embeddings" in content:
                    embeddings.append(content["embeddings"])
        if not kept:
            raise StoreError(f"{self.folder}: every row was left out, the first because: {skipped[0]['reason']}")
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        np.save(self.folder / "offsets.npy", offsets)
        if embeddings:
            np.save(self.folder / "embeddings.npy", np.concatenate(embeddings))
        if skipped:
            pd.DataFrame(skipped).to_csv(self.folder / "skipped.csv", index=False)
        card.num_rows, card.num_frames, card.num_skipped = len(kept), int(offsets[-1]), len(skipped)
        card.mean, card.std = moments.result()
        card.notes = (card.notes or {}) | counts
        card.save(self.folder)
        self._save_rows(kept, extra)
        for path in self.shards.iterdir():
            path.unlink()
        self.shards.rmdir()
        Store(self.folder)  # opens, or says what is wrong

    def _save_rows(self, kept: list[str], extra: dict[str, dict]) -> None:
        """The last file to come: with it the store is complete."""
        rows = self.plan.set_index("row_id", drop=False).loc[kept].reset_index(drop=True)
        if extra:
            rows = rows.join(pd.DataFrame([extra.get(i, {}) for i in kept]))
        partial = self.folder / "rows.parquet.part"
        rows.to_parquet(partial)
        partial.replace(self.folder / "rows.parquet")


def meta_of(content) -> dict:
    """What a shard's file says of its rows."""
    return json.loads(content["meta"].tobytes())
