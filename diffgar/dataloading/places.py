"""Where a track's audio lies: in a file of its own, or inside a Parquet file or a tar.

`data/train-0.parquet#audio:12` is row 12, counted from 1, of the column `audio`; `train-0.tar#a/0001.flac` is a member.
"""

import os
import re
from pathlib import Path

INSIDE = re.compile(r"(.+?\.(?:parquet|tar))#(.+)", re.DOTALL | re.IGNORECASE)


def cell_place(file: str | Path, column: str, row: int) -> str:
    """The place of a cell of a Parquet file, its row counted from 1."""
    return f"{os.path.abspath(file)}#{column}:{row}"


def member_place(file: str | Path, member: str) -> str:
    """The place of a member of a tar."""
    return f"{os.path.abspath(file)}#{member}"


def inside(path: str | Path) -> tuple[Path, str] | None:
    """(the Parquet file or tar, what is meant in it); None for a file of its own."""
    match = INSIDE.fullmatch(str(path))
    return None if match is None else (Path(match[1]), match[2])


def file_of(path: str | Path) -> Path:
    """The file on disk that holds a track's audio."""
    place = inside(path)
    return Path(path) if place is None else place[0]


def name_of(path: str | Path) -> str:
    """What a track is called by its path: its file without the suffix; of a row of Parquet, shard and row."""
    place = inside(path)
    if place is None or place[0].suffix.lower() == ".tar":
        return Path(path if place is None else place[1]).stem
    return f"{place[0].stem} {place[1].rpartition(':')[2]}"


def is_there(path: str | Path) -> bool:
    """Whether the file that holds a track's audio is on disk."""
    return os.path.isfile(file_of(path))
