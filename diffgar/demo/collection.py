"""The demo's collections: music composed from named attributes, rendered to FLAC files, with captions and splits.

A track is a pure function of (recipe, seed, split, number): more tracks of a split leave the others as they are.
"""

import json
import os
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pandas as pd
from filelock import FileLock
from tqdm import tqdm

from diffgar.dataloading import workers
from diffgar.dataloading.datasets.splits import by_column
from diffgar.dataloading.datasets.tracks import Dataset, read_dataset
from diffgar.demo.attributes import ATTRIBUTES
from diffgar.demo.captions import phrase, phrasings
from diffgar.demo.recipes import RECIPES, Recipe
from diffgar.demo.tracks import SPLITS, audio_path, render_track, track_id, track_rows
from diffgar.errors import InputError
from diffgar.values import one_of, whole

__all__ = ["ATTRIBUTES", "phrase", "phrasings", "read_collection", "track_rows", "write_collection"]

COLLECTION_VERSION = 2  # another number for every change of what is composed, rendered or said
MARKER = "collection.json"
CHUNK = 8  # tracks per task of a worker process


def write_collection(
    folder: str | Path,
    num_train: int = 2500,
    num_validation: int = 300,
    num_test: int = 600,
    seed: int = 0,
    num_workers: int = 2,
    recipe: str = "demo",
) -> Path:
    """Compose and render a collection into `folder`; returns its table, `captions.csv`.

    audio/<track_id>.flac: 16 bits, mono, 22,050 Hz, 20 to 35 s. captions.csv: one row per caption, with the columns of
    `tracks.track_rows`. What is there already is kept, so a killed run goes on; other sizes add tracks; of several
    processes one writes and the others wait. Raises InputError for a folder of another version, recipe or seed.
    num_workers: processes that render; 0 is this one. recipe: which of RECIPES.
    """
    made_by = RECIPES[one_of("prepare.recipe", recipe, list(RECIPES))]
    folder, sizes = Path(folder), dict(zip(SPLITS, (num_train, num_validation, num_test), strict=True))
    for split, size in sizes.items():
        whole(f"prepare.num_{split}", size)
    marker = {"collection": f"diffgar {recipe}", "version": COLLECTION_VERSION, "seed": seed}
    tracks = [(split, number) for split in SPLITS for number in range(sizes[split])]
    if (folder / MARKER).is_file():
        refuse_other(folder, marker)
    if not is_whole(folder, tracks):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            claim(folder, marker)
            complete(folder, made_by, seed, tracks, num_workers)
    return folder / "captions.csv"


def complete(folder: Path, recipe: Recipe, seed: int, tracks: list[tuple[str, int]], num_workers: int) -> None:
    """Render the tracks that are missing, then write the table if it is not of just these."""
    missing, table = missing_of(folder, tracks), folder / "captions.csv"
    with closing(rendered(folder, recipe, seed, missing, num_workers)) as done:
        for _ in tqdm(done, "rendering", len(missing), disable=not missing):
            pass
    if missing or not holds(table, tracks):
        rows = [row for track in tracks for row in track_rows(seed, *track, recipe)]
        part = table.with_suffix(".part")
        pd.DataFrame(rows).to_csv(part, index=False)
        os.replace(part, table)


def missing_of(folder: Path, tracks: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The tracks whose audio file is not there yet."""
    return [track for track in tracks if not (folder / audio_path(*track)).is_file()]


def is_whole(folder: Path, tracks: list[tuple[str, int]]) -> bool:
    """Whether all of these tracks and their table are there."""
    return not missing_of(folder, tracks) and holds(folder / "captions.csv", tracks)


def read_collection(folder: str | Path, recipe: str = "demo", **sizes: int) -> Dataset:
    """The collection as a dataset, written first where it is not there yet; `sizes` are those of `write_collection`."""
    columns = {name: name for name in ("track_id", "path", "caption", "caption_id")}
    return read_dataset(
        recipe, str(write_collection(folder, recipe=recipe, **sizes)), str(folder), columns, by_column()
    )


def holds(table: Path, tracks: list[tuple[str, int]]) -> bool:
    """Whether the table is there and is of just these tracks."""
    if not table.is_file():
        return False
    found = pd.read_csv(table, usecols=["track_id"])["track_id"]
    return list(dict.fromkeys(found)) == [track_id(*track) for track in tracks]


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


def rendered(
    folder: Path, recipe: Recipe, seed: int, tracks: list[tuple[str, int]], num_workers: int
) -> Generator[None, None, None]:
    """Render tracks, in worker processes if asked for; yields one item per finished track."""
    chunks = [(folder, recipe, seed, tracks[i : i + CHUNK]) for i in range(0, len(tracks), CHUNK)]
    if num_workers == 0 or len(chunks) < 2:
        for track in tracks:
            render_track(folder, seed, *track, recipe)
            yield
        return
    pool = ProcessPoolExecutor(num_workers, mp_context=workers.context(), initializer=workers.begin)
    try:
        for done in pool.map(_render_chunk, chunks):
            yield from [None] * done
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the chunks in hand are finished, no others begun


def _render_chunk(task: tuple[Path, Recipe, int, list[tuple[str, int]]]) -> int:
    folder, recipe, seed, tracks = task
    for track in tracks:
        render_track(folder, seed, *track, recipe)
    return len(tracks)
