"""A folder as a table: shards of one (Parquet, tars), AudioFolder, or audio files alone."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.audio_files import audio_files
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.text_files import text_of

Read = Callable[[Path], pd.DataFrame]  # a file → its table, each row named with the file
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SHARD = re.compile(r"(\w+)-\d+-of-\d+(?:-[0-9a-f]+)?")  # as the hub names them: train-00000-of-00012.parquet


def matching_files(pattern: str) -> list[Path] | None:
    """The files that a pattern such as `data/train-*.parquet` means, by name; None for a path that is no pattern.

    Raises DatasetError where there is none.
    """
    path = Path(pattern).expanduser()
    if path.exists() or not any(mark in pattern for mark in "*?["):
        return None
    root = Path(path.anchor or ".")
    found = sorted(root.glob(str(path.relative_to(path.anchor) if path.anchor else path)))
    if not found:
        raise DatasetError(f"{pattern}: no file is called so; fetch them there, or set data.table to where they are")
    return found


def read_folder(folder: Path, read: Read) -> list[pd.DataFrame]:
    """The tables that a folder holds.

    Shards whose names say their split, and AudioFolder's subfolders, have it as the column `split`, unless the table
    has one. Raises DatasetError for a folder that holds none.
    """
    if any((folder / name).is_file() for name in METADATA):
        return [_metadata(folder, folder, read)]
    if parts := sorted(part for part in folder.iterdir() if any((part / name).is_file() for name in METADATA)):
        return [_split(_metadata(part, folder, read), part.name) for part in parts]
    for suffix in (".parquet", ".tar"):
        if shards := sorted(folder.glob(f"*{suffix}")) or sorted(folder.glob(f"data/*{suffix}")):
            return read_shards(shards, read)
    return [_audio_alone(folder)]


def read_shards(shards: list[Path], read: Read) -> list[pd.DataFrame]:
    """The tables of files of which each may say its split: `train-00000-of-00012.parquet`."""
    splits = [match[1] if (match := SHARD.fullmatch(shard.stem)) else None for shard in shards]
    return [_split(read(shard), split) for shard, split in zip(shards, splits, strict=True)]


def _split(table: pd.DataFrame, split: str | None) -> pd.DataFrame:
    return table if split is None or "split" in table else table.assign(split=split)


def _metadata(part: Path, folder: Path, read: Read) -> pd.DataFrame:
    """AudioFolder's table (its `file_name` says where in its own folder), the names made those in `folder`."""
    path = next(part / name for name in METADATA if (part / name).is_file())
    table = read(path)
    if "file_name" not in table:
        raise DatasetError(f"{path}: no column 'file_name'; there are {list(table.columns)}; name the files there")
    below = part.relative_to(folder)
    names = [(below / name).as_posix() if isinstance(name, str) and name else None for name in table["file_name"]]
    return table.assign(file_name=names)


def _audio_alone(folder: Path) -> pd.DataFrame:
    """The audio files under a folder as `file_name`; texts beside them (`a.txt` of `a.wav`) as `caption`."""
    files, _ = audio_files(folder)
    files = sorted(files)
    if not files:
        raise DatasetError(f"{folder}: is a folder without tables, tars and audio; name a table in it")
    names = [file.relative_to(folder).as_posix() for file in files]
    table = pd.DataFrame({"file_name": names}, index=[f"{folder}: {name}" for name in names], dtype=object)
    beside = [file.with_suffix(".txt") for file in files]
    texts = [text_of(text).strip() if text.is_file() else None for text in beside]
    return table.assign(caption=texts) if any(texts) else table
