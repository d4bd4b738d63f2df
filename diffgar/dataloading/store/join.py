"""Joins shards and the store before them into one new store, in the place of the old one and without a second copy.

1. The frames of each shard are appended to `frames.f16`; then the shard's file is replaced by one that has the places
   of its rows alone. Nothing that the store before has is overwritten, and it can be read as before.
2. The other files of the new store are written to `<folder>/next`, which is renamed to `<folder>/ready` when all are
   there; then `install` moves them into the folder.

A kill leaves the old store, and shards that are taken in or are not, or a `ready` that `install` goes on with. So a
join goes on where it was, and the store's bytes do not depend on kills.
"""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from shutil import copyfile, rmtree

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.compact import MOST_HOLES
from diffgar.dataloading.store.held import Held, Shard
from diffgar.dataloading.store.install import NEXT, READY, install, note_shards
from diffgar.dataloading.store.next_files import write_frames_card, write_table
from diffgar.dataloading.store.sources import Sources
from diffgar.dataloading.store.use import alone


def join(
    folder: Path, card: Card, plan: pd.DataFrame, own: Path, shards: list[Shard], held: Held, same: Mapping[str, str]
) -> None:
    """Make the store of `plan` from the shards of the generation `own`, older shards and the store joined before.

    Raises StoreError where every row was left out, or where a row has gone meanwhile.
    """
    sources = Sources(folder, plan, shards, held, same)
    if not sources.places:
        raise StoreError(f"{folder}: every row was left out, the first because: {sources.skipped[0]['reason']}")
    frames, target = folder / "frames.f16", folder / NEXT
    end = take_in(frames, card.dim, sources)
    rmtree(target, ignore_errors=True)
    target.mkdir()
    rows = write_table(target, card, plan, sources)
    locked = alone(frames) if is_holed(sources, end) else None
    with locked or nullcontext():  # from `ready` on there are no readers
        write_frames_card(frames, target, card, rows, sources, end, compact=locked is not None)
        note_shards(target, own, held)
        target.rename(folder / READY)
    install(folder)


def is_holed(sources: Sources, end: int) -> bool:
    """Whether more than MOST_HOLES of the frames are no row's, and no shard has a place among them."""
    return bool(end - sources.spans()[1].sum() > MOST_HOLES * end) and not sources.leaves_taken


def take_in(path: Path, dim: int, sources: Sources) -> int:
    """Append the frames of all rows that still lie in shards to the file `path`; returns its length in frames.

    What a killed job has appended without noting it in a shard is cut off first.
    """
    shards, before = [*sources.shards, *sources.held.shards], sources.before
    end = max((shard.taken_until for shard in shards), default=0)
    end = max(end, before.card.num_frames) if before else end
    unshare(path)
    with path.open("ab") as file:
        if file.tell() < end * dim * 2:
            raise StoreError(
                f"{path} is shorter than the store's shards say; delete {path.parent} and extract it again"
            )
        file.truncate(end * dim * 2)
        for shard, wanted in sources.wanted().items():
            starts, lengths = shard.spans
            rows = wanted & (starts < 0)
            if not rows.any():
                continue
            file.write(shard.frames_of(rows).data)
            file.flush()
            os.fsync(file.fileno())
            places = starts.copy()
            places[rows] = end + np.cumsum(lengths[rows]) - lengths[rows]
            shard.rewrite(np.ones(len(rows), dtype=bool), places)
            end += int(lengths[rows].sum())
    return end


def unshare(path: Path) -> None:
    """Copy a file that has another name too (a hard link), so that what is written to it changes no other store."""
    if path.is_file() and path.stat().st_nlink > 1:
        copy = path.with_name(f"{path.name}.part")
        copyfile(path, copy)
        copy.replace(path)
