"""Pages of OGG: the links of a chained file, and whether its last page is whole.

libsndfile reads the first link alone, and asks neither for the pages between nor for those at the end.
"""

from dataclasses import dataclass
from typing import BinaryIO

from diffgar.dataloading.decoders.checksums import crc
from diffgar.dataloading.decoders.parts import View

READ = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")  # first bytes of the codecs that libsndfile reads
HEADER = 27  # bytes of a page before its table of segments


class OggFault(Exception):
    """Why an OGG file cannot be used."""


class OtherCodec(Exception):
    """An OGG file that libsndfile does not read: of another codec, or of several streams at once."""


@dataclass
class Link:
    """One link of a chain. codec: one of READ or None; streams: how many lie in it at once.

    start, end: its bytes; last_page: where its last page begins, has_end: whether that has the mark of the last.
    """

    start: int
    end: int
    last_page: int = 0
    has_end: bool = False
    codec: bytes | None = None
    streams: int = 0


def links(file: BinaryIO, position: int, size: int) -> list[Link]:
    """The links of a chained OGG file that begins at `position`; bytes behind its last page do not count.

    A last page need not have the mark of an end: recorders leave it out. Raises OggFault for one that is not whole,
    or that leaves a packet open, for bytes between the pages of a link, and for a first page of sound that is damaged:
    a decoder takes such a link for one that begins later. Of other lacking pages it tells by its count of samples.
    """
    found: list[Link] = []
    headers_only = True  # whether the pages so far are all first ones: several streams begin together
    is_open, is_silent, junk = False, True, 0
    while True:
        file.seek(position)
        page = file.read(HEADER + 255)
        if page[:4] != b"OggS":
            after = _next_page(file, position, size)
            if after is None:
                break
            position, junk = after, junk + after - position
            continue
        table = page[HEADER : HEADER + page[26]] if len(page) >= HEADER else b""
        body = position + HEADER + len(table)
        if len(page) < HEADER or len(table) < page[26] or body + sum(table) > size:
            raise OggFault("is truncated: its last page is not whole")
        begins = page[5] & 2
        if begins and not (headers_only and found):
            found.append(Link(position, 0))
        if begins:
            _add_stream(file, body, found[-1])
        headers_only = bool(begins)
        if not found:
            raise OggFault("is damaged: it does not begin with the first page of a stream")
        if junk and not begins:
            raise OggFault(f"is damaged: {junk} bytes between its pages are none of OGG")
        is_silent, junk = is_silent or bool(begins), 0
        if is_silent and int.from_bytes(page[6:14], "little", signed=True) > 0:  # it counts the samples so far
            is_silent = False
            if not _is_intact(file, position, body + sum(table)):
                raise OggFault("is damaged: its first page of sound does not fit its checksum")
        found[-1].last_page, found[-1].has_end = position, bool(page[5] & 4)
        position = found[-1].end = body + sum(table)
        is_open = bool(table) and table[-1] == 255 and not page[5] & 4
    if is_open:
        raise OggFault("is truncated: its last packet is not whole")
    return found


def view(file: BinaryIO, link: Link) -> View:
    """The link as a file of its own, its last page marked as the last: libsndfile refuses Opus without."""
    if link.has_end:
        return View(file, (link.start, link.end))
    file.seek(link.last_page)
    page = bytearray(file.read(link.end - link.last_page))
    page[5] |= 4
    page[22:26] = bytes(4)
    page[22:26] = crc(bytes(page), 0x04C11DB7, 32).to_bytes(4, "little")
    return View(file, (link.start, link.last_page), bytes(page))


def _add_stream(file: BinaryIO, body: int, link: Link) -> None:
    file.seek(body)
    head = file.read(8)
    link.streams += 1
    link.codec = link.codec or next((mark for mark in READ if head.startswith(mark)), None)


def _is_intact(file: BinaryIO, start: int, end: int) -> bool:
    """Whether a page has its right checksum."""
    file.seek(start)
    page = bytearray(file.read(end - start))
    given, page[22:26] = bytes(page[22:26]), bytes(4)
    return crc(bytes(page), 0x04C11DB7, 32).to_bytes(4, "little") == given


def _next_page(file: BinaryIO, position: int, size: int) -> int | None:
    """Where the next page begins behind bytes that are none, or None."""
    while position < size:
        file.seek(position)
        chunk = file.read(2**18)
        at = chunk.find(b"OggS")
        if at >= 0:
            return position + at
        position += max(1, len(chunk) - 3)
    return None
