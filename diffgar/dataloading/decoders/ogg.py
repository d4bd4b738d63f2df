"""Pages of OGG: the links of a chained file, and whether its last page is whole.

libsndfile reads the first link alone, and notices neither missing pages nor a truncated end.
"""

from collections.abc import Iterator
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


@dataclass(frozen=True)
class Page:
    """A page, whole: its bytes from `start` to `end`, of which those from `body` on are packets.

    begins, ends: whether it is the first or the last of its stream. samples: how many its stream has up to its end.
    is_open: whether its last packet goes on in the next page. junk: bytes in front of it that are no page.
    """

    start: int
    body: int
    end: int
    begins: bool
    ends: bool
    samples: int
    is_open: bool
    junk: int


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
    a decoder takes such a link for one that begins later. Other missing pages show when fewer samples are decoded.
    """
    found: list[Link] = []
    page, headers_only, is_silent = None, True, True  # headers_only: several streams begin together
    for page in _pages(file, position, size):
        if page.begins:
            if not (headers_only and found):
                found.append(Link(page.start, page.end))
            _add_stream(file, page.body, found[-1])
            is_silent = True
        headers_only = page.begins
        if not found:
            raise OggFault("is damaged: it does not begin with the first page of a stream")
        if page.junk and not page.begins:
            raise OggFault(f"is damaged: {page.junk} bytes between its pages are none of OGG")
        if is_silent and page.samples > 0:
            is_silent = False
            if not _is_intact(file, page):
                raise OggFault("is damaged: its first page of sound does not fit its checksum")
        found[-1].last_page, found[-1].has_end, found[-1].end = page.start, page.ends, page.end
    if page and page.is_open:
        raise OggFault("is truncated: its last packet is not whole")
    return found


def _pages(file: BinaryIO, position: int, size: int) -> Iterator[Page]:
    """The pages from `position` on. Raises OggFault for one that the file ends within."""
    junk = 0
    while True:
        file.seek(position)
        head = file.read(HEADER + 255)
        if head[:4] != b"OggS":
            after = _next_page(file, position, size)
            if after is None:
                return
            position, junk = after, junk + after - position
            continue
        table = head[HEADER : HEADER + head[26]] if len(head) >= HEADER else b""  # bytes of each segment
        body = position + HEADER + len(table)
        end = body + sum(table)
        if len(head) < HEADER or len(table) < head[26] or end > size:
            raise OggFault("is truncated: its last page is not whole")
        begins, ends = bool(head[5] & 2), bool(head[5] & 4)
        samples = int.from_bytes(head[6:14], "little", signed=True)
        is_open = bool(table) and table[-1] == 255 and not ends
        yield Page(position, body, end, begins, ends, samples, is_open, junk)
        position, junk = end, 0


def view(file: BinaryIO, link: Link) -> View:
    """The link as a file of its own, its last page marked as the last: libsndfile refuses Opus without."""
    if link.has_end:
        return View(file, (link.start, link.end))
    file.seek(link.last_page)
    page = bytearray(file.read(link.end - link.last_page))
    page[5] |= 4
    page[22:26] = bytes(4)
    page[22:26] = _checksum(page)
    return View(file, (link.start, link.last_page), bytes(page))


def _add_stream(file: BinaryIO, body: int, link: Link) -> None:
    file.seek(body)
    head = file.read(8)
    link.streams += 1
    link.codec = link.codec or next((mark for mark in READ if head.startswith(mark)), None)


def _is_intact(file: BinaryIO, page: Page) -> bool:
    """Whether a page has its right checksum."""
    file.seek(page.start)
    content = bytearray(file.read(page.end - page.start))
    given, content[22:26] = bytes(content[22:26]), bytes(4)
    return _checksum(content) == given


def _checksum(page: bytearray) -> bytes:
    """The checksum of a page whose own is set to zeros."""
    return crc(bytes(page), 0x04C11DB7, 32).to_bytes(4, "little")


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
