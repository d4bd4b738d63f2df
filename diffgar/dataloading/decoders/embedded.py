"""Opening audio, wherever it lies: a file, a row of a Parquet file, a member of a tar. Nothing is copied to disk.

A member of a tar is read where it lies. Parquet has no such places: a row's bytes are read with those of its page. Rows
that are asked for in their order, as an extraction does, are read once, by each worker, a page at a time. Most writers
make one page of a row group, which then takes twice its bytes, compressed and not.
"""

import functools
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diffgar.dataloading.decoders.parts import FETCH, AudioError, View
from diffgar.dataloading.places import inside

READ_AHEAD = 2**16  # bytes


@contextmanager
def open_audio(path: Path, buffering: int = READ_AHEAD) -> Iterator[BinaryIO]:
    """The bytes of a track's audio, as an open file. Raises AudioError where its place in a file holds none."""
    place = inside(path)
    if place is None:
        with path.open("rb", buffering=buffering) as file:
            yield file
    elif place[0].suffix.lower() == ".tar":
        with place[0].open("rb") as file:
            member = cast(io.RawIOBase, View(file, _member(path, *place)))
            yield cast(BinaryIO, io.BufferedReader(member, buffering))
    else:
        yield io.BytesIO(_cell(path, *place))


def _member(path: Path, tar: Path, name: str) -> tuple[int, int]:
    """The bytes (start, end) of a member."""
    status = tar.stat()
    try:
        found = members(str(tar), status.st_size, status.st_mtime_ns)
    except tarfile.TarError as error:
        raise AudioError(path, f"is in a tar that cannot be read ({error})", "fetch the tar again") from error
    if name not in found:
        raise AudioError(path, "is not in its tar", "extract again from the tar that there is now")
    return found[name]


@functools.lru_cache(maxsize=8)
def members(tar: str, size: int, changed: int) -> dict[str, tuple[int, int]]:
    """Member → its bytes (start, end) in a tar of this size (bytes), changed at this time (ns).

    Only the headers are read. Raises tarfile.TarError for a file that is none, is compressed, or is truncated.
    """
    with tarfile.TarFile(tar) as file:
        return {each.name: (each.offset_data, each.offset_data + each.size) for each in file if each.isreg()}


def _cell(path: Path, file: Path, cell: str) -> bytes:
    """The bytes of a cell."""
    column, _, row = cell.rpartition(":")
    status = file.stat()
    try:
        content = _rows(str(file), column, status.st_size, status.st_mtime_ns).row(int(row) - 1)
    except (pa.ArrowException, KeyError, IndexError, ValueError) as error:
        raise AudioError(path, f"cannot be read from its Parquet file ({str(error)[:80]})", FETCH) from error
    if content is None:
        raise AudioError(path, "has no bytes in its Parquet file", "leave its row out, by `where` or of the table")
    return content


class Rows:
    """The cells of a Parquet file's column of audio. They are read forwards; going back reads a row group anew."""

    def __init__(self, file: str, column: str):
        self.file = pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_AHEAD)
        kind = self.file.schema_arrow.field(column).type
        self.leaf = f"{column}.bytes" if pa.types.is_struct(kind) else column
        sizes = [self.file.metadata.row_group(group).num_rows for group in range(self.file.metadata.num_row_groups)]
        self.firsts = np.cumsum([0, *sizes])  # of each row group, and the number of rows
        self.batches: Iterator[pa.RecordBatch] = iter(())
        self.next = -1  # the row that the next batch holds; -1: none is read yet
        self.last: bytes | dict[str, bytes] | None = None
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def row(self, number: int) -> bytes | None:
        """The bytes of a row, counted from 0; None where it has none. Raises IndexError beyond the last."""
        if not 0 <= number < len(self):
            raise IndexError(f"it has {len(self)} rows")
        with self.lock:
            group = int(np.searchsorted(self.firsts, number, side="right")) - 1
            if number < self.next - 1 or self.next < self.firsts[group]:
                groups = range(group, len(self.firsts) - 1)
                self.batches = self.file.iter_batches(1, row_groups=groups, columns=[self.leaf])
                self.next = int(self.firsts[group])
            while self.next <= number:
                cell = next(self.batches).column(0)
                self.next += 1
                if self.next > number:
                    self.last = cell[0].as_py()
            return self.last["bytes"] if isinstance(self.last, dict) else self.last


@functools.lru_cache(maxsize=1)  # it may hold a row group
def _rows(file: str, column: str, size: int, changed: int) -> Rows:
    """The rows of a file of this size (bytes), changed at this time (ns)."""
    return Rows(file, column)
