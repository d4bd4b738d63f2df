"""Arrays by name from a folder of .npy, one .npz or one Parquet file: each reader has `names`, `array(name)`
and `stamp(name)`, which another array does not have."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diffgar.dataloading.datasets.cells import written
from diffgar.errors import InputError

UNREADABLE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)  # of numpy, pyarrow and zip files


class LatentsError(InputError):
    """Latents that cannot be imported: what was found, what was expected, what to do."""


class Folder:
    """One `.npy` file per track."""

    def __init__(self, path: Path):
        self.names = {file.relative_to(path).as_posix().removesuffix(".npy"): file for file in files_of(path)}
        if not self.names:
            raise LatentsError(f"{path}: no .npy file in this folder; set encoder_pair.latents to where they lie")

    def array(self, name: str) -> np.ndarray:
        """The array as its file has it; one of UNREADABLE for a damaged file."""
        return np.load(self.names[name])

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of the file."""
        return stamp_of(self.names[name])


class Archive:
    """One `.npz`, one array per track."""

    def __init__(self, path: Path):
        self.content = np.load(path)
        if not isinstance(self.content, np.lib.npyio.NpzFile):
            raise ValueError("one array, not an archive of them")
        self.names = dict.fromkeys(self.content.files)
        if not self.names:
            raise LatentsError(f"{path}: holds no array; write it again")

    def array(self, name: str) -> np.ndarray:
        """The array as the archive has it; one of UNREADABLE for a damaged one."""
        return self.content[name]

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and checksum of the array, as the archive's directory has them."""
        info = self.content.zip.getinfo(f"{name}.npy")
        return info.file_size, info.CRC


class Table:
    """One Parquet file, one row per track.

    One row group is held at a time: rows in the table's order are decoded once. In another order keep the file to one
    row group, if it fits in memory, or every track may decode a group again.
    """

    def __init__(self, path: Path, names: str, latents: str):
        self.file, self.column = pq.ParquetFile(path), latents
        self.held: tuple[int, Any] = (-1, None)  # a row group's number, and its latents
        self.file_stamp = stamp_of(path)
        schema = self.file.schema_arrow
        for column in (names, latents):
            if column not in schema.names:
                raise LatentsError(
                    f"{path}: no column {column!r}; there are {schema.names}; set encoder_pair.columns to the two "
                    f"that hold names and latents"
                )
        if not _is_list(schema.field(latents).type):
            raise LatentsError(
                f"{path}: column {latents!r} holds {schema.field(latents).type}, expected one list per row; write it so"
            )
        self.names = self._rows_by_name(path, self.file.read([names])[names].to_pylist())
        sizes = [self.file.metadata.row_group(g).num_rows for g in range(self.file.num_row_groups)]
        self.ends = np.cumsum(sizes)

    @staticmethod
    def _rows_by_name(path: Path, names: list) -> dict[str, int]:
        rows: dict[str, int] = {}
        for row, name in enumerate(map(_named, names)):
            if rows.setdefault(str(name), row) != row:
                raise LatentsError(
                    f"{path}: {name!r} stands in rows {rows[str(name)] + 1} and {row + 1}; keep one row per track"
                )
        if not rows:
            raise LatentsError(f"{path}: holds no row; write it again")
        return rows

    def array(self, name: str) -> np.ndarray:
        """The row's list (D,), or list of lists (T, D). Raises LatentsError for null and for lists that differ."""
        row = self.names[name]
        group = int(np.searchsorted(self.ends, row, side="right"))
        if self.held[0] != group:
            self.held = (group, self.file.read_row_group(group, [self.column])[self.column])
        cell = self.held[1][row - int(self.ends[group])]  # from the group's end
        if not cell.is_valid:
            raise LatentsError("is null; leave its track out of the table")
        return _nested(cell.values)

    def stamp(self, name: str) -> tuple[int, int]:
        """Size and time of the whole file."""
        return self.file_stamp


def _named(cell: object) -> str:
    """A name as the tracks' table has it, where 7.0 is 7."""
    try:
        return written(cell)
    except ValueError:
        return str(cell)


def stamp_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns of a file."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _nested(values: pa.Array) -> np.ndarray:
    """Numbers as (n,), lists of n numbers each as (T, n), without a detour over Python's lists."""
    if not _is_list(values.type) or not len(values):
        return values.to_numpy(zero_copy_only=False) if not _is_list(values.type) else np.zeros(0)
    if len(lengths := pc.list_value_length(values).unique()) > 1:
        raise LatentsError(f"has latents of {lengths[0]} and of {lengths[1]} dimensions; write it again")
    return _nested(values.flatten()).reshape(len(values), -1)


def files_of(path: Path) -> list[Path]:
    """The files that hold latents: the path itself, or the folder's .npy files by name."""
    return sorted(path.rglob("*.npy")) if path.is_dir() else [path]


def open_source(path: Path, names: str, latents: str) -> Folder | Archive | Table:
    """The reader of a path's layout. Raises LatentsError for a path that is missing, unreadable or of none of them."""
    if not path.exists():
        raise LatentsError(f"{path}: no such folder or file; set encoder_pair.latents to where the latents lie")
    if path.is_dir():
        return Folder(path)
    try:
        if path.suffix == ".npz":
            return Archive(path)
        if path.suffix == ".parquet":
            return Table(path, names, latents)
    except LatentsError:
        raise
    except UNREADABLE as error:
        raise LatentsError(f"{path}: cannot be read as {path.suffix} ({error}); write it again") from error
    raise LatentsError(f"{path}: no reader for {path.suffix!r}; give a folder of .npy, a .npz or a .parquet")
