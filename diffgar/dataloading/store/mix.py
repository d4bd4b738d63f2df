"""Writes a mix's store: its table and its card. The frames stay in the stores of its parts."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

import numpy as np
import pandas as pd
from filelock import FileLock

from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.held import Held
from diffgar.dataloading.store.install import NEXT, READY, install
from diffgar.dataloading.store.keys import key_of
from diffgar.dataloading.store.mixed import PARTS, JoinedFrames, Places, opened
from diffgar.dataloading.store.next_files import moments_of
from diffgar.dataloading.store.plan import table_hash
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.sources import COMPUTED
from diffgar.dataloading.store.spans import SCATTERED


def write_mix(folder: Path, card: Card, plan: pd.DataFrame, parts: Mapping[str, Path]) -> None:
    """Bring the store of a mix up to date with `plan`, whose rows are those of finished stores. Safe in every job.

    plan: one row per item, with `row_id` (`<part>/<id in the part's store>`), `split` and `_key`. parts: part → the
    folder of its store. Mean and standard deviation on the card are those of the mix's train split.
    Raises StoreError for a row that a part neither holds nor has left out, and for a folder of another encoder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "store.lock"):
        install(folder)
        stores = {name: Store(path) for name, path in parts.items()}
        card.plan = key_of(table_hash(plan), [(name, store.card.plan) for name, store in stores.items()])
        if (folder / "card.json").is_file():
            card.refuse_another(found := Card.load(folder), folder)
            if found.plan == card.plan:
                return
        target = folder / NEXT
        rmtree(target, ignore_errors=True)
        target.mkdir()
        _write(target, folder, card, plan, stores)
        target.rename(folder / READY)
        install(folder)


def _write(target: Path, folder: Path, card: Card, plan: pd.DataFrame, stores: Mapping[str, Store]) -> None:
    skipped = _left_out(plan, stores)
    kept = plan[~plan["row_id"].isin([item["row_id"] for item in skipped])].reset_index(drop=True)
    if kept.empty:
        raise StoreError(f"{folder}: every row was left out, the first because: {skipped[0]['reason']}")
    places, (starts, lengths) = opened(folder, card, kept, stores)
    rows = kept.join(_computed(places, stores))
    rows.to_parquet(target / "rows.parquet")
    if skipped:
        pd.DataFrame(skipped).to_csv(target / "skipped.csv", index=False, encoding="utf-8")
    names = {name: os.path.relpath(store.folder, folder) for name, store in stores.items()}
    (target / PARTS).write_text(json.dumps(names, indent=1), encoding="utf-8")
    train = (rows["split"] == "train").to_numpy()
    frames = JoinedFrames([store.frames for store in stores.values()])
    card.mean, card.std = moments_of(frames, starts[train], lengths[train])
    card.num_rows, card.num_frames, card.num_skipped = len(rows), int(lengths.sum()), len(skipped)
    card.embedding_dim, card.format_version = next(iter(stores.values())).card.embedding_dim, SCATTERED
    card.notes = dict(sum((Counter(store.card.counts) for store in stores.values()), Counter()))
    card.files = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
    card.save(target)


def _computed(places: Places, stores: Mapping[str, Store]) -> pd.DataFrame:
    """The columns that extraction has added to the parts' tables, for the rows of the mix."""
    tables = [store.rows for store in stores.values()]
    there = [column for column in COMPUTED if any(column in table for table in tables)]
    columns = {name: [table.get(name, pd.Series(np.nan, table.index)) for table in tables] for name in there}
    return pd.DataFrame(
        {
            name: places.gathered([each.to_numpy(dtype=float if name == "_seconds" else object) for each in cells])
            for name, cells in columns.items()
        }
    )


def _left_out(plan: pd.DataFrame, stores: Mapping[str, Store]) -> list[dict]:
    """The rows of the plan that a part's store has left out under the same key, with their reasons."""
    skipped = {
        f"{name}/{row_id}": item
        for name, store in stores.items()
        for row_id, item in Held.read(store.folder).skipped.items()
    }
    pairs = zip(plan["row_id"], plan["_key"], strict=True)
    found = ((row_id, skipped[row_id]) for row_id, key in pairs if skipped.get(row_id, {}).get("_key") == key)
    return [item | {"row_id": row_id} for row_id, item in found]
