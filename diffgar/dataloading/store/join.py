"""Joins shards and the store before them into one new store, and puts it in the place of the old one.

The new files are written to `<folder>/next`, which is renamed to `<folder>/ready` when all are there; then they are
moved into the folder. A kill leaves the old store, or a `ready` that `install` goes on with.
"""

import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.held import Held, Shard
from diffgar.dataloading.store.moments import Moments
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.sources import COMPUTED, Sources

NEXT, READY = "next", "ready"


def join(
    folder: Path, card: Card, plan: pd.DataFrame, shards: list[Shard], held: Held, same: Mapping[str, str]
) -> None:
    """Write the store of `plan` from new shards, older shards and the store that was joined before.

    Raises StoreError where every row was left out, or where a row has gone meanwhile.
    """
    target = folder / NEXT
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    sources = Sources(folder, shards, held, same)
    skipped = sources.skipped(plan)
    ids = sources.ids(plan)
    if not ids:
        raise StoreError(f"{folder}: every row was left out, the first because: {skipped[0]['reason']}")
    if sources.old is not None and sources.same_rows(ids):
        extra = keep_frames(folder, target, card, plan, sources.old)
    else:
        extra = write_frames(target, card, plan, sources)
    rows = plan.set_index("row_id", drop=False).loc[ids].reset_index(drop=True)
    rows.drop(columns=[column for column in extra if column in rows]).join(extra).to_parquet(target / "rows.parquet")
    if skipped:
        pd.DataFrame(skipped).to_csv(target / "skipped.csv", index=False, encoding="utf-8")
    card.num_rows, card.num_skipped = len(ids), len(skipped)
    card.notes = (card.notes or {}) | sources.counts()
    card.files = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
    card.save(target)
    Store(target)  # opens, or says what is wrong
    target.rename(folder / READY)
    install(folder)


def write_frames(target: Path, card: Card, plan: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Write frames, offsets and embeddings row by row; returns the rows' further columns."""
    offsets, extra, embeddings, moments = [0], [], [], Moments(card.dim)
    card.checksums, checksum = [], Checksum()
    train = train_ids(plan)
    with (target / "frames.f16").open("wb") as out:
        for row in sources.rows(plan):
            out.write(row.frames.data)
            checksum.add(row.frames)
            if row.row_id in train:
                moments.add(row.frames)
            offsets.append(offsets[-1] + len(row.frames))
            extra.append(row.extra)
            if row.embedding is not None:
                embeddings.append(row.embedding)
            if len(extra) % card.shard_size == 0:
                card.checksums.append(checksum.take())
    if checksum.num_frames:
        card.checksums.append(checksum.take())
    np.save(target / "offsets.npy", np.array(offsets, dtype=np.int64))
    if embeddings and len(embeddings) == len(extra):  # rows kept from an encoder that gave none have none
        np.save(target / "embeddings.npy", np.stack(embeddings))
        card.embedding_dim = len(embeddings[0])
    card.num_frames = offsets[-1]
    card.mean, card.std = moments.result()
    return pd.DataFrame(extra)


def keep_frames(folder: Path, target: Path, card: Card, plan: pd.DataFrame, old: Store) -> pd.DataFrame:
    """Take over the files of a store whose rows stay as they are; only their columns, or their splits, have changed."""
    for name in ("frames.f16", "offsets.npy", "embeddings.npy"):
        if (folder / name).is_file():
            link(folder / name, target / name)
    for name in ("checksums", "num_frames", "embedding_dim", "mean", "std"):
        setattr(card, name, getattr(old.card, name))
    train = train_ids(plan)
    if train != train_ids(old.rows):
        moments = Moments(card.dim)
        for i in np.flatnonzero(old.rows["row_id"].isin(train)):
            moments.add(old.row(int(i)))
        card.mean, card.std = moments.result()
    return old.rows[[column for column in COMPUTED if column in old.rows]]


def train_ids(rows: pd.DataFrame) -> set[str]:
    """The ids of the rows in the split "train", over which mean and standard deviation are taken."""
    return set(rows["row_id"][rows["split"] == "train"])


def link(source: Path, target: Path) -> None:
    """One file under two names, or a copy where the file system cannot do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def install(folder: Path) -> None:
    """Move a finished new store into its folder, over the old one. Goes on where a kill has interrupted it."""
    ready = folder / READY
    if not ready.is_dir():
        return
    for path in sorted(ready.iterdir()):
        path.replace(folder / path.name)
        path.unlink(missing_ok=True)  # POSIX renames nothing where both names are one file's
    for name in ("skipped.csv", "embeddings.npy"):
        if name not in (Card.load(folder).files or {}):
            (folder / name).unlink(missing_ok=True)
    ready.rmdir()


class Checksum:
    """The number of frames and the CRC-32 of rows that follow each other."""

    def __init__(self) -> None:
        self.num_frames, self.value = 0, 0

    def add(self, frames: np.ndarray) -> None:
        """Count in the frames (T, D) of the next row."""
        self.num_frames, self.value = self.num_frames + len(frames), zlib.crc32(frames.data, self.value)

    def take(self) -> list[int]:
        """[frames, CRC-32] of what was added since the last call; the next row begins anew."""
        taken = [self.num_frames, self.value]
        self.num_frames, self.value = 0, 0
        return taken
