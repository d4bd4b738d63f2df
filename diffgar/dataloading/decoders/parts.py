"""What the readers of audio files share: the error that names a file, a view of its bytes, a part of its sound."""

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from diffgar.dataloading.places import inside
from diffgar.errors import InputError

TOLERANCE_SECONDS = 0.1  # what a header may promise and a file lack: a few frames of an MP3, a few bytes of a WAV
FETCH = "fetch or convert the file again"
UNREADABLE = "cannot be decoded ({}): truncated, damaged or not audio"


class AudioError(InputError):
    """A file that cannot be used: its path, the reason, and what to do."""

    def __init__(self, path: Path | str, reason: str, remedy: str):
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path, self.reason = str(path), reason


@dataclass(frozen=True)
class Part:
    """Sound of one rate. Most files are one part; joined files and chained streams are several.

    frames: samples per channel that it holds. read(first, last, count) yields blocks (S, channels) float32 of at most
    `count` samples from sample `first` to `last` (None: the part's end).
    """

    rate: int
    frames: int
    read: Callable[[int, int | None, int], Iterator[np.ndarray]]


class Sequential(soundfile.SoundFile):  # type: ignore[misc]  # soundfile tells no types
    """A file that is read forwards: soundfile else seeks to where it is after every block.

    That costs time, and at MP3's lower rates libmpg123 loses what the next frames borrow from earlier ones.
    """

    def __init__(self, source: "Path | View"):
        if isinstance(source, Path) and os.name == "posix":  # a name there need not be text
            super().__init__(os.fsencode(source))
        else:
            super().__init__(source)

    def seekable(self) -> bool:
        """False: so soundfile never seeks by itself."""
        return False


def size_of(file: BinaryIO) -> int:
    """The number of bytes of an open file."""
    return file.seek(0, io.SEEK_END)


class View(io.RawIOBase):
    """A file that is other bytes, and byte ranges (start, end) of an open file, one after the other.

    It shows a decoder one of several joined streams, or samples behind a header that says their true length.
    """

    def __init__(self, file: BinaryIO, *pieces: bytes | tuple[int, int]):
        self.file, self.pieces, self.position = file, pieces, 0
        self.lengths = [len(p) if isinstance(p, bytes) else p[1] - p[0] for p in pieces]
        self.size = sum(self.lengths)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The next byte to be read, counted from the view's first."""
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, counted from the view's first, and return it; beyond the end there is nothing to read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; less than that only at the end, where C decoders expect it."""
        target, done, start = memoryview(buffer).cast("B"), 0, 0
        for piece, length in zip(self.pieces, self.lengths, strict=True):
            inside = self.position - start
            start += length
            wanted = min(len(target) - done, length - inside)
            if wanted <= 0:
                continue
            if isinstance(piece, bytes):
                target[done : done + wanted] = piece[inside : inside + wanted]
                count = wanted
            else:
                self.file.seek(piece[0] + inside)
                count = self.file.readinto(target[done : done + wanted])  # type: ignore[attr-defined]
            done, self.position = done + count, self.position + count
            if count < wanted:
                break
        return done


def whole_file(path: Path, file: BinaryIO) -> Path | View:
    """What libsndfile is to open of a whole file: its path, or a view where it lies inside another."""
    return path if inside(path) is None else View(file, (0, size_of(file)))
