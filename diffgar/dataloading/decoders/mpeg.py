"""Frames of MPEG audio and of AAC in ADTS: where each begins, and the tags before, between and after them."""

import functools
import re
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

RATES = (44100, 48000, 32000)
KBPS = {  # (MPEG-1?, layer) → kbit/s of the bitrate index 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


class Kind(NamedTuple):
    """What stays the same throughout a stream. layer: 1 to 3, 0 for AAC; mpeg1: not one of the lower rates."""

    rate: int
    channels: int
    layer: int
    mpeg1: bool


class Frame(NamedTuple):
    """A frame's header. length: bytes, its header included. side: where layer III's main data begins, else 0."""

    length: int
    samples: int
    kind: Kind
    side: int


@functools.lru_cache(maxsize=4096)
def mpeg_frame(head: bytes) -> Frame | None:
    """The MPEG audio frame (layers I to III) that 4 bytes begin, or None. Free bit rates are not known."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, index, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or not 0 < index < 15 or rate == 3:
        return None
    mpeg1, channels = version == 3, 1 if head[3] >> 6 == 3 else 2
    hertz = RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits, padding = 1000 * KBPS[mpeg1, layer][index - 1], head[2] >> 1 & 1
    samples = 384 if layer == 1 else 1152 if layer == 2 or mpeg1 else 576
    length = (12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding
    side = (32 if channels == 2 else 17) if mpeg1 else (17 if channels == 2 else 9)
    side = side + body_start(head) if layer == 3 else 0
    return Frame(length, samples, Kind(hertz, channels, layer, mpeg1), side)


def body_start(head: bytes) -> int:
    """Where an MPEG frame's body begins: behind its header, and a checksum where it has one."""
    return 4 if head[1] & 1 else 6


def adts_frame(head: bytes) -> Frame | None:
    """The AAC frame in ADTS that 7 bytes begin, or None."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    index, channels = head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
    length, blocks = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5, (head[6] & 3) + 1
    if index >= len(ADTS_RATES) or length < 7:
        return None
    return Frame(length, 1024 * blocks, Kind(ADTS_RATES[index], channels, 0, head[1] & 8 == 0), 0)


Headers = Callable[[bytes], Frame | None]


def header_size(headers: Headers) -> int:
    """The bytes that a frame's header takes."""
    return 7 if headers is adts_frame else 4


def after_tags(file: BinaryIO, position: int) -> int:
    """Where the tags (ID3v2, ID3v1, APE, Lyrics3) that begin at `position`, and zeros behind ID3v2, end."""
    while True:
        file.seek(position)
        head = file.read(32)
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:  # four bytes of seven bits
            length = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            position = _after_zeros(file, position + 10 + length + (10 if head[5] & 16 else 0))
        elif head[:8] == b"APETAGEX":
            is_header = len(head) == 32 and head[23] & 32  # else the footer, behind what it counts
            position += 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
        elif head[:3] == b"TAG":
            position += 128
        elif head[:11] == b"LYRICSBEGIN":
            file.seek(position)
            text = file.read(2**17)
            ends = [text.find(mark) + 9 for mark in (b"LYRICS200", b"LYRICSEND") if mark in text]
            position += min(ends, default=len(text))
        else:
            return position


def _after_zeros(file: BinaryIO, position: int) -> int:
    file.seek(position)
    while chunk := file.read(4096):
        rest = chunk.lstrip(b"\0")
        if rest:
            return position + len(chunk) - len(rest)
        position += len(chunk)
    return position


def find_frames(file: BinaryIO, headers: Headers, start: int, end: int, in_row: int = 3) -> int | None:
    """The first place from `start` to `end` where `in_row` frames of one kind follow each other; or None.

    Fewer will do where the file ends with them.
    """
    size = header_size(headers)
    while start < end:
        file.seek(start)
        text = file.read(min(2**16, end - start) + size - 1)
        for match in re.finditer(rb"\xff[\xe0-\xff][^\xff]", text):
            first = headers(text[match.start() : match.start() + size])
            if first and _follow(file, headers, start + match.start(), first, in_row):
                return start + match.start()
        start += max(1, len(text) - size + 1)
    return None


def _follow(file: BinaryIO, headers: Headers, position: int, first: Frame, in_row: int) -> bool:
    """Whether `in_row` frames stand in a row from `position`, or all that there are up to the file's very end."""
    size, frame = header_size(headers), first
    end = file.seek(0, 2)
    for number in range(1, in_row):
        position = after_tags(file, position + frame.length)
        if position >= end:
            return position == end or number > 1
        file.seek(position)
        found = headers(file.read(size))
        if found is None or found.kind != first.kind:
            return False
        frame = found
    return True
