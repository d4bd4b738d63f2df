"""Whether a store's files are whole, and a note beside them of which bytes were read and found so.

<folder>/verified.json   size, time and inode of the frames' file, and a hash of the checksums that it was found to have
"""

import contextlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from diffgar.dataloading.store.card import Card, StoreError, write_atomically
from diffgar.dataloading.store.keys import key_of

NOTE = "verified.json"


def refuse_short_frames(folder: Path, card: Card, num_rows: int, starts: np.ndarray, lengths: np.ndarray) -> None:
    """Raises StoreError where frames, rows' starts and lengths (N,), and table do not belong together."""
    path, ends = folder / "frames.f16", starts + lengths
    expected = card.num_frames * card.dim * 2
    found = path.stat().st_size if path.is_file() else 0  # more than expected while a join goes on
    consistent = num_rows == card.num_rows == len(ends) and ends.max(initial=0) <= card.num_frames
    if found < expected or not consistent or (lengths < 1).any() or (starts < 0).any():
        raise StoreError(
            f"{path}: {found} bytes for {num_rows} rows, but its card says {expected} bytes for {card.num_rows}; "
            f"the file is short or damaged: delete {folder} and extract it again"
        )


def verify_frames(folder: Path, card: Card, frames: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
    """Read all frames (F, D) once and compare them with the card's checksums. Raises StoreError naming the rows."""
    start = 0
    for shard, (num_frames, checksum) in enumerate(card.checksums or []):
        block = np.ascontiguousarray(frames[start : start + num_frames])
        if zlib.crc32(block.data) != checksum:
            spoilt = np.flatnonzero((starts < start + num_frames) & (starts + lengths > start))
            raise StoreError(
                f"{folder / 'frames.f16'}: shard {shard} (rows {spoilt.min()} to {spoilt.max()}) is damaged; "
                f"delete {folder} and extract it again"
            )
        start += num_frames


def verify_once(folder: Path, card: Card, verify: Callable[[], None]) -> None:
    """Call `verify`, unless a note says that these very bytes passed it; a note is written when it returns.

    One process verifies, and those that come meanwhile wait for it. A copy of a store is verified anew: it has another
    inode. The note of a folder that may not be written to lies in the user's cache; where that is not possible either,
    every process verifies.
    """
    notes = folder if os.access(folder, os.W_OK) else cache() / key_of(str(folder.absolute()))
    path = notes / NOTE
    if read(path) == about(folder, card):
        return
    try:
        notes.mkdir(parents=True, exist_ok=True)
        lock = FileLock(notes / "verified.lock").acquire()
    except OSError:
        verify()
        return
    with lock:
        found = about(folder, card)
        if read(path) != found:
            verify()
            with contextlib.suppress(OSError):  # a full disk costs the note alone
                write_atomically(path, json.dumps(found).encode())


def about(folder: Path, card: Card) -> dict[str, object]:
    """What a note says of a store's frames."""
    found = (folder / "frames.f16").stat()
    return {
        "bytes": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "inode": found.st_ino,
        "checksums": key_of(card.checksums),
    }


def read(path: Path) -> dict[str, object] | None:
    """A note; None where there is none, or a damaged one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def cache() -> Path:
    """Where the notes of read-only stores lie."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "diffgar" / "verified"
