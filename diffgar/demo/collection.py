"""The demo collection: music composed from named attributes, rendered to FLAC files, with captions and splits.

A track is a pure function of (seed, split, number): more tracks of a split leave the others as they are.
"""

import json
import os
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from filelock import FileLock
from tqdm import tqdm

from diffgar.dataloading import workers
from diffgar.dataloading.datasets.splits import by_column
from diffgar.dataloading.datasets.tracks import Dataset, read_dataset
from diffgar.demo.captions import caption, phrase, phrasings
from diffgar.demo.music import ATTRIBUTES, compose, draw_attributes, draw_timing
from diffgar.demo.sound import SAMPLE_RATE, render
from diffgar.errors import InputError
from diffgar.values import whole

__all__ = [
    "ATTRIBUTES",
    "COLLECTION_VERSION",
    "phrase",
    "phrasings",
    "read_collection",
    "track_rows",
    "write_collection",
]

COLLECTION_VERSION = 1  # another number for every change of what is composed, rendered or said
MARKER = "collection.json"
CAPTIONS_PER_TRACK = 3
SPLITS = ("train", "validation", "test")
CHUNK = 8  # tracks per task of a worker process


def write_collection(
    folder: str | Path,
    num_train: int = 2500,
    num_validation: int = 300,
    num_test: int = 600,
    seed: int = 0,
    num_workers: int = 2,
) -> Path:
    """Compose and render the collection into `folder`; returns its table, `captions.csv`.

    audio/<track_id>.flac: 16 bits, mono, 22,050 Hz, 20 to 32 s. captions.csv: one row per caption, with the columns
    caption_id, track_id, path (relative to the folder), caption, split, duration (s), named (the attributes that
    the caption names, joined by "|") and one column for each of ATTRIBUTES. What is there already is kept, so a
    killed run goes on; other sizes add tracks; of several processes one writes and the others wait. Raises
    InputError for a folder of another version or seed. num_workers: processes that render; 0 is this one.
    """
    folder, sizes = Path(folder), dict(zip(SPLITS, (num_train, num_validation, num_test), strict=True))
    for split, size in sizes.items():
        whole(f"prepare.num_{split}", size)
    marker = {"collection": "diffgar demo", "version": COLLECTION_VERSION, "seed": seed}
    tracks = [(split, number) for split in SPLITS for number in range(sizes[split])]
    if (folder / MARKER).is_file():
        refuse_other(folder, marker)
    if not is_whole(folder, tracks):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            claim(folder, marker)
            complete(folder, seed, tracks, num_workers)
    return folder / "captions.csv"


def complete(folder: Path, seed: int, tracks: list[tuple[str, int]], num_workers: int) -> None:
    """Render the tracks that are missing, then write the table if it is not of just these."""
    missing, table = missing_of(folder, tracks), folder / "captions.csv"
    with closing(rendered(folder, seed, missing, num_workers)) as done:
        for _ in tqdm(done, "rendering", len(missing), disable=not missing):
            pass
    if missing or not holds(table, tracks):
        rows = [row for track in tracks for row in track_rows(seed, *track)]
        part = table.with_suffix(".part")
        pd.DataFrame(rows).to_csv(part, index=False)
        os.replace(part, table)


def missing_of(folder: Path, tracks: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The tracks whose audio file is not there yet."""
    return [track for track in tracks if not (folder / audio_path(*track)).is_file()]


def is_whole(folder: Path, tracks: list[tuple[str, int]]) -> bool:
    """Whether all of these tracks and their table are there."""
    return not missing_of(folder, tracks) and holds(folder / "captions.csv", tracks)


def read_collection(folder: str | Path, **sizes: int) -> Dataset:
    """The collection as a dataset, written first where it is not there yet; `sizes` are those of `write_collection`."""
    columns = {name: name for name in ("track_id", "path", "caption", "caption_id")}
    return read_dataset("demo", str(write_collection(folder, **sizes)), str(folder), columns, by_column())


def holds(table: Path, tracks: list[tuple[str, int]]) -> bool:
    """Whether the table is there and is of just these tracks."""
    if not table.is_file():
        return False
    found = pd.read_csv(table, usecols=["track_id"])["track_id"]
    return found.tolist() == [track_id(*track) for track in tracks for _ in range(CAPTIONS_PER_TRACK)]


def claim(folder: Path, marker: dict) -> None:
    """Write the collection's marker into a new folder; refuse one that holds something else."""
    path = folder / MARKER
    if path.is_file():
        return refuse_other(folder, marker)
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: has files, but no {MARKER} of a demo collection; {remedy(folder)}")
    (folder / "audio").mkdir(parents=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(marker), encoding="utf-8")
    os.replace(part, path)
    return None


def refuse_other(folder: Path, marker: dict) -> None:
    """Raise InputError for a collection of another version or seed."""
    found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    if found != marker:
        raise InputError(f"{folder / MARKER}: holds {found}, but {marker} was asked for; {remedy(folder)}")


def remedy(folder: Path) -> str:
    """The end of a message about a folder that cannot be used."""
    return f"delete {folder}, or choose another folder (paths.data)"


def track_id(split: str, number: int) -> str:
    """The id of a track: `train-00012`."""
    return f"{split}-{number:05d}"


def audio_path(split: str, number: int) -> str:
    """The path of a track's file, relative to the collection's folder."""
    return f"audio/{track_id(split, number)}.flac"


def generator(seed: int, split: str, number: int, purpose: int) -> np.random.Generator:
    """Randomness of a track's music (0), captions (1) or attributes (2): one does not move the other."""
    return np.random.default_rng([seed, SPLITS.index(split), number, purpose])


def track_rows(seed: int, split: str, number: int) -> list[dict]:
    """The rows of a track in captions.csv."""
    attributes = draw_attributes(generator(seed, split, number, 2))
    tempo, bar_beats, num_bars = draw_timing(attributes, generator(seed, split, number, 0))
    random, rows = generator(seed, split, number, 1), []
    for i in range(CAPTIONS_PER_TRACK):
        text, named = caption(attributes, random)
        row: dict[str, object] = {"caption_id": f"{track_id(split, number)}-{i}", "track_id": track_id(split, number)}
        row |= {"path": audio_path(split, number), "caption": text, "split": split}
        row |= {"duration": round(num_bars * bar_beats * 60 / tempo, 3), "named": "|".join(named)}
        rows.append(row | attributes)
    return rows


def render_track(folder: Path, seed: int, split: str, number: int) -> None:
    """Write a track's audio file, whole or not at all."""
    attributes = draw_attributes(generator(seed, split, number, 2))
    samples = render(compose(attributes, generator(seed, split, number, 0)))
    level = generator(seed, split, number, 3).uniform(0.25, 0.5)  # full scale is 1
    samples *= level / np.abs(samples).max()
    path = folder / audio_path(split, number)
    part = path.with_suffix(".part")
    soundfile.write(part, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(part, path)


def rendered(folder: Path, seed: int, tracks: list[tuple[str, int]], num_workers: int) -> Generator[None, None, None]:
    """Render tracks, in worker processes if asked for; yields one item per finished track."""
    chunks = [(folder, seed, tracks[i : i + CHUNK]) for i in range(0, len(tracks), CHUNK)]
    if num_workers == 0 or len(chunks) < 2:
        for track in tracks:
            render_track(folder, seed, *track)
            yield
        return
    pool = ProcessPoolExecutor(num_workers, mp_context=workers.context(), initializer=workers.begin)
    try:
        for done in pool.map(_render_chunk, chunks):
            yield from [None] * done
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the chunks in hand are finished, no others begun


def _render_chunk(task: tuple[Path, int, list[tuple[str, int]]]) -> int:
    folder, seed, tracks = task
    for track in tracks:
        render_track(folder, seed, *track)
    return len(tracks)
