"""What each row of a store is made of, as one short key: a row whose key has changed is encoded anew."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from unicodedata import normalize

import pandas as pd
from tqdm import tqdm

from diffgar.dataloading.datasets.tracks import Track
from diffgar.dataloading.decoders.parts import AudioError
from diffgar.dataloading.places import file_of, is_there
from diffgar.dataloading.store.held import read_rows


def key_of(*parts: object) -> str:
    """A hash of these parts, 16 hexadecimal digits."""
    return sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def caption_keys(captions: Iterable[str]) -> list[str]:
    """A key of each caption's text."""
    return [key_of(caption) for caption in captions]


def audio_keys(tracks: Iterable[Track]) -> list[str]:
    """Keys of the path, its file's size and time, and the cut; a file that is not on disk has a key of its own."""
    stats: dict[str, tuple[int, int] | None] = {}
    return [key_of(_place(track), stats.setdefault(track.path, _stat(track.path))) for track in tracks]


def unchanged(
    tracks: Iterable[Track], keys: list[str], store: Path, digest: Callable[[str, float | None, float | None], str]
) -> dict[str, str]:
    """The tracks that a store holds and whose audio is the same, even under another key: their id → the store's key.

    A file that was moved, or copied without its times, has another key: its bytes are compared with those that the
    store has encoded. So has a file that is no longer on disk: its track is kept if path and cut are the same.
    digest: (path, start_s, end_s) → the hash that the store has in its column `_audio`.
    """
    if not (store / "rows.parquet").is_file():
        return {}
    held = read_rows(store).set_index("row_id")
    key_of_held = dict(zip(held.index, held["_key"], strict=True))
    same, others = {}, []
    for track, key in zip(tracks, keys, strict=True):
        if key_of_held.get(track.track_id) == key:
            same[track.track_id] = key
        elif track.track_id in key_of_held:
            others.append(track)
    for track in tqdm(others, "comparing files", unit="file", disable=not others, leave=False):
        row, known = held.loc[track.track_id], False
        if not is_there(track.path):
            start, end = (None if pd.isna(row[name]) else row[name] for name in ("start_s", "end_s"))
            known = _place(Track(track.track_id, row["path"], "", start, end)) == _place(track)
        else:
            with suppress(AudioError):  # its place in a Parquet file or a tar holds none: it fails when it is decoded
                known = digest(track.path, track.start_s, track.end_s) == row.get("_audio")
        if known:
            same[track.track_id] = key_of_held[track.track_id]
    return same


def _place(track: Track) -> tuple:
    return normalize("NFC", track.path), track.start_s, track.end_s  # however the disk spells it


def _stat(path: str) -> tuple[int, int] | None:
    try:
        stat = file_of(path).stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
