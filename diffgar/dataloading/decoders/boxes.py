"""MP4, WebM, WMA and ADTS: whether a file of which PyAV knows no duration, or guesses it, ends where it should."""

from typing import BinaryIO

from diffgar.dataloading.decoders.mpeg import adts_frame, after_tags, find_frames

ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
SEGMENT, CLUSTER = 0x18538067, 0x1F43B675


def is_cut_mp4(file: BinaryIO, position: int, size: int) -> bool:
    """Whether a fragmented MP4, whose header names no duration, ends within a box. For others their duration tells."""
    fragmented = False
    while position < size:
        file.seek(position)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        length = int.from_bytes(head[8:16], "big") if length == 1 else length
        fragmented |= name == b"moof"
        if length < 8:  # 0: up to the end; else bytes behind the last box
            return False
        position += length
    return fragmented and position > size


def is_cut_webm(file: BinaryIO, position: int, size: int) -> bool:
    """Whether a WebM or Matroska file ends within an element. A live one has a segment of unknown length."""
    while position < size:
        file.seek(position)
        name, name_length = _number(file, keep_mark=True)
        length, length_length = _number(file, keep_mark=False)
        if not name_length or not length_length:
            return True
        position += name_length + length_length
        if name not in (SEGMENT, CLUSTER):
            position += length
        elif position + length > size and length != 2 ** (7 * length_length) - 1:
            return True
    return position > size


def _number(file: BinaryIO, keep_mark: bool) -> tuple[int, int]:
    """(value, bytes) of a number whose first byte's leading zeros tell its length; (0, 0) where the file ends."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first and first[0] else 0
    rest = file.read(max(0, length - 1))
    if not length or len(rest) < length - 1:
        return 0, 0
    value = int.from_bytes(first + rest, "big")
    return (value if keep_mark else value & (1 << 7 * length) - 1), length


def is_cut_asf(file: BinaryIO, position: int, size: int) -> bool:
    """Whether a WMA is shorter than its header says; FFmpeg takes a new length from the bytes that are there."""
    file.seek(position)
    head = file.read(2**16)
    at = head.find(ASF_PROPERTIES)
    return at >= 0 and int.from_bytes(head[at + 40 : at + 48], "little") > size - position


def adts_length(file: BinaryIO, position: int, size: int) -> tuple[float, bool]:
    """(seconds of the AAC frames that begin at `position`, whether the last is whole).

    A bare stream of AAC states no length; FFmpeg guesses it from the bit rate.
    """
    seconds = 0.0
    while position < size:
        file.seek(position)
        frame = adts_frame(file.read(7))
        if frame is None:
            after = after_tags(file, position)
            found = after if after > position else find_frames(file, adts_frame, position + 1, size)
            if found is None:
                file.seek(position)
                return seconds, size - position >= 7 or file.read(1) != b"\xff"
            position = found
            continue
        position += frame.length
        if position > size:
            return seconds, False
        seconds += frame.samples / frame.kind.rate
    return seconds, True
