"""Imported arrays whose file has another size or time: each is read and hashed once, by whichever job comes first."""

import json
import os
from collections.abc import Mapping
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from diffgar.dataloading.store.card import write_atomically
from diffgar.dataloading.store.held import read_rows
from diffgar.extraction.array_files import LatentsError
from diffgar.extraction.given_latents import OwnLatents

HASHES = "hashes.json"  # beside the store's files: key of an array → hash of its latents


def hash_of(latents: np.ndarray) -> str:
    """A hash of latents (T, D) float32, 16 hexadecimal digits."""
    return sha256(latents.tobytes()).hexdigest()[:16]


def unchanged_latents(
    own: OwnLatents, names: Mapping[str, str], keys: Mapping[str, str], store: Path
) -> dict[str, str]:
    """The tracks whose latents a store holds though their key has changed: their id → the key in the store.

    names, keys: track id → the name of its array, and its key: name, size and time. An array whose key is the store's
    is not read. The others' hashes are kept beside the store, so that later jobs and runs read none of them again.
    """
    if not (store / "rows.parquet").is_file():
        return {}
    rows = read_rows(store)
    held = dict(zip(rows["row_id"], zip(rows["_key"], rows["_audio"], strict=True), strict=True))
    others = [each for each in keys if each in held and held[each][0] != keys[each] and names[each] in own.source.names]
    if not others:
        return {}
    writable = os.access(store, os.W_OK)
    with FileLock(store / "hashes.lock") if writable else nullcontext():
        path = store / HASHES
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for track_id in tqdm(others, "comparing latents", unit="array", leave=False):
            if keys[track_id] not in known:
                known[keys[track_id]] = _hash(own, names[track_id])
        if writable:
            write_atomically(path, json.dumps({keys[each]: known[keys[each]] for each in others}).encode())
    return {each: held[each][0] for each in others if known[keys[each]] == held[each][1]}


def _hash(own: OwnLatents, name: str) -> str | None:
    """The hash of an array; None for one that cannot be imported, as the import will say."""
    try:
        return hash_of(own.read(name))
    except LatentsError:
        return None
