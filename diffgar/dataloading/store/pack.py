"""A shard's bytes: the latents of its rows, checked and as float16, and its metadata."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.half import MOST_ROUNDING, fault_of, rounding_of
from diffgar.dataloading.store.held import archive


def packed(
    keys: Mapping[str, str],
    frames: Mapping[str, np.ndarray],
    skipped: Sequence[dict],
    embeddings: Mapping[str, np.ndarray] | None,
    about: Mapping[str, Any],
    card: Card,
) -> bytes:
    """An .npz of the rows in `keys` (row_id → key), in that order, but for those that were left out.

    Arrays: frames (F, D) float16, lengths (N,), embeddings (N, P) float32 where there are some, and meta: the kept ids
    and their keys, the skipped items with theirs, a checksum, and what else is given in `about`.
    Raises StoreError, naming the row, for latents that cannot be stored.
    """
    left_out = {item["row_id"] for item in skipped}
    kept = [row_id for row_id in keys if row_id not in left_out]
    blocks = [half(row_id, frames[row_id], card) for row_id in kept]
    refuse_rounded([frames[row_id] for row_id in kept], card)
    flat = np.concatenate(blocks) if blocks else np.zeros((0, card.dim), np.float16)
    content = {"frames": flat, "lengths": np.array([len(block) for block in blocks], dtype=np.int64)}
    if embeddings is not None:
        content["embeddings"] = np.stack([embeddings[row_id] for row_id in kept]).astype(np.float32)
    meta = {"kept": kept, "keys": [keys[row_id] for row_id in kept], "crc32": zlib.crc32(flat.data), **about}
    meta["skipped"] = [item | {"_key": keys[item["row_id"]]} for item in skipped]
    return archive(meta, content)


def half(row_id: str, latents: np.ndarray, card: Card) -> np.ndarray:
    """A row's latents (T, D) as float16. Raises StoreError where they are of another shape, or cannot be ranked."""
    if latents.ndim != 2 or latents.shape[1] != card.dim or len(latents) == 0:
        raise StoreError(f"{row_id!r}: latents of shape {latents.shape}, expected (frames, {card.dim})")
    if fault := fault_of(latents):
        raise StoreError(f"{card.dataset}: {row_id!r} {fault}; check its audio and the encoder's weights")
    return np.asarray(latents, dtype=np.float16)


def refuse_rounded(latents: Sequence[np.ndarray], card: Card) -> None:
    """Refuse (StoreError) latents (T_i, D) that float16 would move by more than MOST_ROUNDING of their spread."""
    if latents and (share := rounding_of(latents)) > MOST_ROUNDING:
        raise StoreError(
            f"{card.dataset}, {card.encoder}: the store's float16 would move these latents by {share:.0%} of their "
            "standard deviation; subtract their common mean, or scale them to about 1, before they are stored"
        )
