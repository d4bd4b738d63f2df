"""Compaction: the frames of a store move together, over the holes that replaced and deleted rows have left.

Frames only ever move towards the start of the file, one chunk at a time. A chunk is first committed to a file of its
own, which is also the journal: after a kill it is written again, and the next chunk follows it.
"""

import io
import os
from pathlib import Path

import numpy as np

from diffgar.dataloading.store.card import write_atomically

MOVES = "moves.npy"
MOST_HOLES = 0.1  # of a store's frames; more are compacted
CHUNK = 2**26  # bytes that are moved at a time, and that the journal takes on disk


def compacted(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows in the order of the file (N,), and the first frame (N,) of each row when those before it leave no hole.

    >>> compacted(np.array([5, 0]), np.array([2, 3]))
    (array([1, 0]), array([3, 0]))
    """
    order = np.argsort(starts, kind="stable")
    moved = np.empty_like(starts)
    moved[order] = np.cumsum(lengths[order]) - lengths[order]
    return order, moved


def move_frames(path: Path, dim: int, moves: np.ndarray, journal: Path) -> None:
    """Move the spans (N, 2) of `path`, first and last frame + 1 in the order of the file, together from its start on.

    Goes on after the chunk in `journal`, where there is one. Done again from there, it gives the same file.
    """
    starts, lengths = moves[:, 0], moves[:, 1] - moves[:, 0]
    ends = np.cumsum(lengths)
    total, size, most = int(ends[-1]), 2 * dim, max(1, CHUNK // (2 * dim))
    away = np.flatnonzero(starts != ends - lengths)  # rows that do not lie where they are to
    position = int((ends - lengths)[away[0]]) if len(away) else total
    with path.open("r+b") as file:
        if journal.is_file():
            with np.load(journal) as chunk:
                position = int(chunk["position"])
                position += _write(file, position, chunk["frames"], size)
        while position < total:
            until = min(position + most, total)
            frames = _span(path, dim, starts, ends - lengths, position, until)
            buffer = io.BytesIO()
            np.savez(buffer, position=position, frames=frames)
            write_atomically(journal, buffer.getvalue())
            with journal.open("r+b") as committed:
                os.fsync(committed.fileno())
            position += _write(file, position, frames, size)
        file.truncate(total * size)


def _write(file: io.BufferedRandom, position: int, frames: np.ndarray, size: int) -> int:
    """Write frames of `size` bytes each from a frame on, and wait for the disk; returns their number."""
    file.seek(position * size)
    file.write(frames.data)
    file.flush()
    os.fsync(file.fileno())
    return len(frames)


def _span(path: Path, dim: int, starts: np.ndarray, moved: np.ndarray, first: int, until: int) -> np.ndarray:
    """The frames that are to lie in first..until, (until − first, D), from where they lie now."""
    frames = np.memmap(path, dtype=np.float16, mode="r").reshape(-1, dim)
    rows = np.arange(np.searchsorted(moved, first, side="right") - 1, np.searchsorted(moved, until))
    begins = np.maximum(moved[rows], first)
    ends = np.minimum(np.append(moved, until)[rows + 1], until)
    back = starts[rows] - moved[rows]
    return np.concatenate([frames[b + shift : e + shift] for b, e, shift in zip(begins, ends, back, strict=True)])
