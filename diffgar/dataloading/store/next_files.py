"""The files of a new store beside its frames: the table, the embeddings, the offsets and the card."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.compact import MOVES, compacted
from diffgar.dataloading.store.mixed import JoinedFrames
from diffgar.dataloading.store.moments import Moments
from diffgar.dataloading.store.sources import Sources
from diffgar.dataloading.store.spans import offsets_of, version_of


def write_table(target: Path, card: Card, plan: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Write the rows' table, their embeddings, and the list of those left out; returns the table."""
    extra = sources.extra()
    rows = plan.set_index("row_id", drop=False).loc[list(sources.places)].reset_index(drop=True)
    rows = rows.drop(columns=[column for column in extra if column in rows]).join(extra)
    rows.to_parquet(target / "rows.parquet")
    if sources.skipped:
        pd.DataFrame(sources.skipped).to_csv(target / "skipped.csv", index=False, encoding="utf-8")
    card.embedding_dim = write_embeddings(target / "embeddings.npy", sources.embeddings(), len(rows))
    card.num_rows, card.num_skipped = len(rows), len(sources.skipped)
    card.notes = (card.notes or {}) | sources.counts()
    return rows


def write_embeddings(path: Path, vectors: Iterator[np.ndarray], num_rows: int) -> int | None:
    """Write num_rows embeddings (P,) as they come; returns P, or None, and writes nothing, where there are none."""
    first = next(vectors, None)
    if first is None:
        return None
    out = np.lib.format.open_memmap(path, "w+", np.float32, (num_rows, len(first)))
    for i, vector in zip(range(num_rows), chain([first], vectors), strict=True):
        out[i] = vector
    out.flush()
    return len(first)


def write_frames_card(
    path: Path, target: Path, card: Card, rows: pd.DataFrame, sources: Sources, end: int, compact: bool
) -> None:
    """Write the offsets of the rows in the frames' file `path` of `end` frames, and the card.

    compact: also write down how its frames are to move; offsets and card are those of the file after that.
    """
    starts, lengths = sources.spans()
    frames = np.memmap(path, dtype=np.float16, mode="r", shape=(end, card.dim))
    train, before = (rows["split"] == "train").to_numpy(), sources.before
    if before and np.array_equal(starts[train], before.train()):
        card.mean, card.std = before.card.mean, before.card.std
    else:
        card.mean, card.std = moments_of(frames, starts[train], lengths[train])
    if compact:
        order, moved = compacted(starts, lengths)
        moves = np.stack([starts, starts + lengths], axis=1)[order]
        np.save(target / MOVES, moves)
        blocks = (moves[i : i + card.shard_size] for i in range(0, len(moves), card.shard_size))
        card.checksums = [checksum(frames, block) for block in blocks]
        starts, end = moved, int(lengths.sum())
    else:
        known = (before and before.card.checksums) or []
        first = sum(num_frames for num_frames, _ in known)
        cuts = [first, *np.sort(starts[starts >= first])[card.shard_size :: card.shard_size].tolist(), end]
        card.checksums = [*known, *(checksum(frames, [cut]) for cut in pairwise(cuts) if cut[0] < cut[1])]
    offsets = offsets_of(starts, lengths, end)
    np.save(target / "offsets.npy", offsets)
    card.format_version, card.num_frames = version_of(offsets), end
    sizes = {each.name: each.stat().st_size for each in target.iterdir() if each.name != MOVES}
    card.files = dict(sorted((sizes | {path.name: end * card.dim * 2}).items()))
    card.save(target)


def moments_of(
    frames: np.ndarray | JoinedFrames, starts: np.ndarray, lengths: np.ndarray
) -> tuple[list[float] | None, list[float] | None]:
    """Mean (D,) and standard deviation (D,) of some rows' frames, added up in this order."""
    moments = Moments(frames.shape[1])
    for start, length in zip(starts, lengths, strict=True):
        moments.add(frames[start : start + length])
    return moments.result()


def checksum(frames: np.ndarray, spans: Iterable) -> list[int]:
    """[number of frames, CRC-32] of the frames in these spans (first, last + 1), one after the other."""
    num_frames, value = 0, 0
    for first, end in spans:
        num_frames, value = num_frames + int(end - first), zlib.crc32(frames[first:end].data, value)
    return [num_frames, value]
