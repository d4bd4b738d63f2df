"""FLAC: how many samples there are by its last frames, whatever its header says; and streams that were joined."""

import re
from dataclasses import dataclass
from typing import BinaryIO

from diffgar.dataloading.decoders.checksums import crc
from diffgar.dataloading.decoders.parts import TOLERANCE_SECONDS, View

MARK = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
TAIL = 2**17  # bytes in which the last frames are looked for: most have some 10 kB
TOTAL_BITS = 36


class FlacFault(Exception):
    """Why a FLAC file cannot be used."""


@dataclass(frozen=True)
class Frame:
    """A frame's header: where it begins in a text, and the samples that it goes from and to."""

    at: int
    first: int
    end: int


def streams(file: BinaryIO, begin: int, size: int) -> list[View | None]:
    """A view of each of the streams that a file holds; None for one that is the whole file as it is.

    Where the header's number of samples is 0 (an encoder in a pipe) or less than there are, the view has the true
    one. Raises FlacFault where there are more than the number and the last frame is not whole.
    """
    starts = [begin, *_later_streams(file, begin + 4)]
    views: list[View | None] = []
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        file.seek(start + 18)
        word = int.from_bytes(file.read(8), "big")  # rate 20 bits, channels 3, depth 5, samples 36
        rate, total = word >> 44, word & (2**TOTAL_BITS - 1)
        there, last = _last_frame(file, start, end)
        if total and there - total <= TOLERANCE_SECONDS * rate:
            views.append(None if (start, end) == (0, size) else View(file, (start, end)))
        elif _is_whole(last):
            numbers = (word - total + there).to_bytes(8, "big")
            views.append(View(file, (start, start + 18), numbers, (start + 26, end)))
        else:
            raise FlacFault("is truncated: its last frame is not whole")
    return views


def _later_streams(file: BinaryIO, position: int) -> list[int]:
    """Where further streams begin."""
    found, before = [], b""
    file.seek(position)
    while chunk := file.read(2**20):
        if MARK.search(chunk) or MARK.search(before + chunk[:7]):
            found += [position - len(before) + match.start() for match in MARK.finditer(before + chunk)]
        before, position = chunk[-7:], position + len(chunk)
    return found


def _last_frame(file: BinaryIO, start: int, end: int) -> tuple[int, bytes]:
    """(samples up to its end, its bytes and what follows) of a stream's last frame; 0 where none is found."""
    file.seek(start + 8)
    info = file.read(10)
    begin = max(start + 42, end - max(TAIL, 4 * int.from_bytes(info[7:10], "big")))
    file.seek(begin)
    text = file.read(max(0, end - begin))
    ends: set[int] = set()
    last = None
    for match in re.finditer(rb"\xff[\xf8\xf9]", text):
        frame = _frame(text, match.start(), int.from_bytes(info[:2], "big"))
        if frame is None:
            continue
        if frame.first == 0 or frame.first in ends:  # it follows another: its bytes are no chance
            last = frame
        ends.add(frame.end)
    return (last.end, text[last.at :]) if last else (0, b"")


def _is_whole(frame: bytes) -> bool:
    """Whether a frame has its right checksum at its end; a tag or zeros may follow."""
    frame = frame[:-128] if frame[-128:-125] == b"TAG" else frame
    bare = frame.rstrip(b"\0")
    candidates = [frame, *(bare + b"\0" * zeros for zeros in range(3) if len(bare) + zeros < len(frame))]
    return any(candidate and crc(candidate, 0x8005, 16) == 0 for candidate in candidates)


def _frame(text: bytes, at: int, block_size: int) -> Frame | None:
    """The frame whose header begins at `at`, its checksum being right, or None. block_size: the stream's."""
    head = text[at : at + 16]
    if len(head) < 16 or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # the number is coded as in UTF-8: leading ones tell its bytes
    if not size_code or rate_code == 15 or ones in (1, 8):
        return None
    length = max(1, ones)
    number = head[4] & (0x7F >> ones)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 63
    body = 4 + length
    extra = {6: 1, 7: 2}.get(size_code, 0)
    samples = 576 << max(0, size_code - 2) if size_code < 6 else 256 << max(0, size_code - 8)
    samples = 192 if size_code == 1 else samples
    if extra:
        samples = int.from_bytes(head[body : body + extra], "big") + 1
    body += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if crc(head[: body + 1], 0x07, 8):
        return None
    first = number if head[1] & 1 else number * block_size
    return Frame(at, first, first + samples)
