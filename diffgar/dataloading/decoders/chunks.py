"""Headers of WAV, RF64, W64, AIFF, AU and CAF: where the samples begin, and how many bytes they promise."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from diffgar.dataloading.decoders.parts import View

MPEG_TAGS = (0x50, 0x55)  # a WAV of MP3
# What writers that cannot go back to their header promise: nearly 2 or 4 GiB (SoX, arecord, FFmpeg)
UNKNOWN_NEAR = (0x7F000000, 2**31, 2**32)
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"

Edit = tuple[int, int, bytes]  # (offset, bytes taken out, bytes put in)


@dataclass(frozen=True)
class Sound:
    """Samples from byte `start` on. promised: their bytes, None where the header does not say.

    length: (offset, struct format, addend) of the number that says it. edits: what libsndfile needs changed before
    `start` beside that. mpeg: the samples are frames of MP3.
    """

    start: int
    promised: int | None
    length: tuple[int, str, int]
    edits: tuple[Edit, ...] = ()
    mpeg: bool = False

    def view(self, file: BinaryIO, begin: int, size: int) -> View:
        """The file as it would be with the edits, and with its true length where it promised none or more.

        Where it promised less the view ends with its samples: libsndfile reads on in a W64.
        """
        edits = list(self.edits)
        if self.promised is None or self.promised > size - self.start:
            offset, form, addend = self.length
            most = 2 ** (8 * struct.calcsize(form) - (form[1] == "q")) - 1
            edits.append((offset, struct.calcsize(form), struct.pack(form, min(size - self.start + addend, most))))
        pieces: list[bytes | tuple[int, int]] = []
        for offset, removed, added in sorted(edits):
            pieces += [(begin, offset), added]
            begin = offset + removed
        end = size if self.promised is None else min(size, self.start + self.promised)
        return View(file, *pieces, (begin, end))


def sound(kind: str, file: BinaryIO, begin: int, size: int) -> Sound | None:
    """The samples of a file of this kind that begins at byte `begin` of `size`; None where it has none."""
    return {"WAV": _wav, "W64": _w64, "AIFF": _aiff, "AU": _au, "CAF": _caf}[kind](file, begin, size)


def stated(length: int, following: int) -> int | None:
    """A length that a header states; None where it stands for unknown, with `following` bytes behind it."""
    if length < 0 or length >= 2**63 - 2**16 or length == 2**32 - 1 or (length == 0 and following > 0):
        return None
    if length > following and any(abs(length - mark) <= 2**16 for mark in UNKNOWN_NEAR):
        return None
    return length


def is_tail(file: BinaryIO, position: int, size: int) -> bool:
    """Whether what begins at `position` is known to be no samples: a chunk, a tag, or zeros alone."""
    file.seek(position)
    head = file.read(2**16)
    if head.startswith((b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")) or W64_DATA[4:] in head[:24]:
        return True
    for offset in (0, 1):  # a pad byte may lie before a chunk
        name, length = head[offset : offset + 4], head[offset + 4 : offset + 8]
        fits = any(int.from_bytes(length, order) <= size - position - offset - 7 for order in ("little", "big"))
        if len(length) == 4 and _is_name(name) and fits:
            return True
    while head and not head.strip(b"\0"):
        head = file.read(2**16)
    return not head


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _chunks(file: BinaryIO, position: int, size: int, form: str) -> Iterator[tuple[bytes, int, int, list[Edit]]]:
    """(name, where its content begins, length, edits so far) of the chunks of RIFF or AIFF.

    A chunk of odd length is followed by a pad byte; where a writer left that out, an edit puts it in.
    """
    edits: list[Edit] = []
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack(form, file.read(8))
        yield name, position + 8, length, edits
        position += 8 + length
        if length % 2:
            file.seek(position)
            following = file.read(5)
            if _is_name(following[:4]) and not _is_name(following[1:5]):
                edits = [*edits, (position, 0, b"\0")]
            else:
                position += 1


def _wav(file: BinaryIO, begin: int, size: int) -> Sound | None:
    file.seek(begin)
    form, wide, tag = file.read(4), None, 0
    order = ">" if form == b"RIFX" else "<"
    rename = ((begin, 4, b"RF64"),) if form == b"BW64" else ()
    for name, start, length, edits in _chunks(file, begin + 12, size, order + "4sI"):
        file.seek(start)
        if name == b"ds64":
            wide = (start + 8, struct.unpack("<8xQ", file.read(16))[0])
        elif name == b"fmt ":
            tag = struct.unpack(order + "H", file.read(2))[0]
        elif name == b"data":
            field = (start - 4, order + "I", 0)
            if wide and length == 2**32 - 1:
                field, length = (wide[0], "<Q", 0), wide[1]
            empty = length == 0 and is_tail(file, start, size)
            promised = 0 if empty else stated(length, size - start)
            if promised is None and size - start >= 2**32 and field[1] == "<I":
                ds64 = struct.pack("<4sI4s4sIQQQI", b"RF64", 2**32 - 1, b"WAVE", b"ds64", 28, size, size - start, 0, 0)
                rename = ((begin, 12, ds64),)
            return Sound(start, promised, field, (*rename, *edits), tag in MPEG_TAGS)
    return None


def _w64(file: BinaryIO, begin: int, size: int) -> Sound | None:
    position = begin + 40
    while position + 24 <= size:
        file.seek(position)
        name, length = struct.unpack("<16sQ", file.read(24))
        if name == W64_DATA:
            promised = stated(max(0, length - 24), size - position - 24)
            return Sound(position + 24, promised, (position + 16, "<Q", 24))
        position += max(24, length + -length % 8)
    return None


def _aiff(file: BinaryIO, begin: int, size: int) -> Sound | None:
    for name, start, length, edits in _chunks(file, begin + 12, size, ">4sI"):
        if name == b"SSND":
            promised = stated(max(0, length - 8), size - start - 8)
            return Sound(start + 8, promised, (start - 4, ">I", 8), tuple(edits))
    return None


def _au(file: BinaryIO, begin: int, size: int) -> Sound | None:
    file.seek(begin)
    order = ">" if file.read(4) == b".snd" else "<"
    head = file.read(8)
    if len(head) < 8:
        return None
    start, length = struct.unpack(order + "II", head)
    return Sound(begin + start, stated(length, size - begin - start), (begin + 8, order + "I", 0))


def _caf(file: BinaryIO, begin: int, size: int) -> Sound | None:
    position = begin + 8
    while position + 12 <= size:
        file.seek(position)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"data":  # its first four bytes count edits
            return Sound(
                position + 16, stated(length - 4 * (length > 0), size - position - 16), (position + 4, ">q", 4)
            )
        position += 12 + max(0, length)
    return None
