"""Puts the files of a new store in the place of the old one's. Each step may be interrupted, and is gone on with.

<folder>/next              the new files while they are written
<folder>/ready             the same when all are there: readers refuse the store until they are moved into the folder
<folder>/ready/shards.json the shards whose rows are in the new store
<folder>/ready/moves.npy   what compaction moves
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.compact import MOVES, move_frames
from diffgar.dataloading.store.held import Held, Shard

NEXT, READY = "next", "ready"
SHARDS, JOURNAL = "shards.json", "moving.npz"


def note_shards(target: Path, own: Path, held: Held) -> None:
    """Write down the generation `own`, all of which is in the new store, and what others have written until now."""
    names = {
        "own": own.name,
        "shards": [[shard.path.parent.name, shard.path.name] for shard in held.shards],
        "generations": [generation.name for generation in held.generations],
    }
    (target / SHARDS).write_text(json.dumps(names), encoding="utf-8")


def install(folder: Path) -> None:
    """Move a finished new store into its folder, over the old one. Goes on where a kill has interrupted it."""
    ready = folder / READY
    if not ready.is_dir():
        return
    if (ready / SHARDS).is_file():
        settle(folder / "writing", ready)
        (ready / SHARDS).unlink()
    if (ready / MOVES).is_file():
        move_frames(folder / "frames.f16", Card.load(ready).dim, np.load(ready / MOVES), ready / JOURNAL)
        (ready / MOVES).unlink()
    for chunk in ready.glob(f"{JOURNAL}*"):
        chunk.unlink()
    for path in sorted(ready.iterdir()):
        path.replace(folder / path.name)
    for name in ("skipped.csv", "embeddings.npy"):
        if name not in (Card.load(folder).files or {}):
            (folder / name).unlink(missing_ok=True)
    ready.rmdir()


def settle(writing: Path, ready: Path) -> None:
    """Delete the shards whose rows are in the new store; what others may have written meanwhile stays.

    A shard that also has other rows keeps those alone whose frames the new store does not have.
    """
    noted = json.loads((ready / SHARDS).read_text(encoding="utf-8"))
    ids = pd.read_parquet(ready / "rows.parquet", columns=["row_id"])["row_id"]
    shutil.rmtree(writing / noted["own"], ignore_errors=True)
    for path in (writing / generation / name for generation, name in noted["shards"]):
        if not path.is_file():
            continue
        shard = Shard(path)
        stays = ~np.isin(np.array(shard.meta["kept"], dtype=object), ids) if shard.meta["kept"] else np.zeros(0, bool)
        taken = shard.spans[0] >= 0
        if not stays.any():
            path.unlink()
        elif (taken & ~stays).any():
            shard.rewrite(stays | ~taken, shard.spans[0])
    for generation in (writing / name for name in noted["generations"]):
        if not any(generation.glob("*.npz")):
            shutil.rmtree(generation, ignore_errors=True)
    if not any(path.is_dir() for path in writing.glob("*")):
        shutil.rmtree(writing, ignore_errors=True)
