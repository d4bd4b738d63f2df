"""The streams of an MP3 file, by its frames: the length that its headers promise is compared with what is there.

A file has several streams where files were joined: each begins with an information frame (Xing, Info, VBRI) of its
own, or has another rate or number of channels.
"""

import functools
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from diffgar.dataloading.decoders.embedded import open_audio
from diffgar.dataloading.decoders.mpeg import Kind, after_tags, find_frames, mpeg_frame
from diffgar.dataloading.decoders.parts import TOLERANCE_SECONDS

HEAD = 48  # bytes of a frame that the scan reads: they hold the mark of an information frame
ANY_HEADER = b"\xff\xfb\x90\x64"  # completes one of which a cut has left a byte
DECODER_DELAY = 529  # samples by which a decoder of layer III is late; what LAME writes leaves them out


@dataclass
class Stream:
    """Frames of one kind. `promised`: how many its information frame says, None or 0 where it does not.

    offsets: where each frame begins; runs: byte ranges [start, end] that hold nothing but frames. delay and padding:
    samples that the encoder put before the sound and after it.
    """

    kind: Kind
    frame_samples: int
    promised: int | None = None
    delay: int = 0
    padding: int = 0
    offsets: array = field(default_factory=lambda: array("q"))
    runs: list[list[int]] = field(default_factory=list)

    def add(self, offset: int, length: int) -> None:
        """Append a frame of `length` bytes that begins at byte `offset`."""
        self.offsets.append(offset)
        if self.runs and self.runs[-1][1] == offset:
            self.runs[-1][1] = offset + length
        else:
            self.runs.append([offset, offset + length])

    @property
    def trimmed(self) -> int:
        """Samples, without delay and padding."""
        padding = 0 if self.promised and len(self.offsets) > self.promised else self.padding
        return max(0, len(self.offsets) * self.frame_samples - self.delay - padding)

    def seconds(self, frames: int) -> float:
        """The duration of so many frames."""
        return frames * self.frame_samples / self.kind.rate

    @property
    def bytes_per_second(self) -> float:
        """The mean byte rate of its frames."""
        return sum(end - start for start, end in self.runs) / max(1e-9, self.seconds(len(self.offsets)))


class Mp3Fault(Exception):
    """Why an MP3 file cannot be used."""


@functools.lru_cache(maxsize=4)  # the clips of one long file follow each other
def scan(path: str, start: int, size: int, changed: int) -> list[Stream]:
    """The streams of a file of `size` bytes, changed at `changed` ns, whose first frame is at `start`.

    Raises Mp3Fault for a file that lacks more than 0.1 s of what its headers say, ends within a frame or in something
    else where they say nothing, or has bytes between its frames that are neither frames nor tags.
    """
    with open_audio(Path(path), buffering=2**18) as file:
        streams, junk, end = _walk(file, start, size)
        rest = _rest(file, end, size)
    for stream in streams:
        missing = stream.seconds((stream.promised or 0) - len(stream.offsets))
        if missing > TOLERANCE_SECONDS:
            whole = stream.seconds(stream.promised or 0)
            raise Mp3Fault(f"is truncated: {missing:.1f} s of {whole:.1f} s are not there")
    streams = [stream for stream in streams if len(stream.offsets)]
    if not streams:
        raise Mp3Fault("holds no frame of MP3")
    most = TOLERANCE_SECONDS * streams[0].bytes_per_second
    if not streams[-1].promised and rest and mpeg_frame(rest[:4] + ANY_HEADER[len(rest) :]):
        raise Mp3Fault("is truncated: its last frame is not whole")
    if not streams[-1].promised and size - end > most and rest.strip(b"\0"):
        raise Mp3Fault(f"is truncated or damaged: {size - end} bytes behind its last frame are none of MP3")
    if junk > most:
        raise Mp3Fault(f"is damaged: {junk} bytes between its frames are none of MP3")
    return streams


def _rest(file: BinaryIO, end: int, size: int) -> bytes:
    """The beginning of what follows the last frame."""
    file.seek(end)
    return file.read(max(0, min(2**16, size - end)))  # a tag may promise more than is there


def _walk(file: BinaryIO, position: int, size: int) -> tuple[list[Stream], int, int]:
    """(streams, bytes between frames that are none, where the last frame, and the tags behind it, end)."""
    streams: list[Stream] = []
    junk = 0
    while position < size:
        file.seek(position)
        head = file.read(HEAD)
        frame = mpeg_frame(head[:4])
        if frame is None or (streams and frame.kind != streams[-1].kind and not _stands(file, position)):
            after = after_tags(file, position)
            if after == position:
                found = find_frames(file, mpeg_frame, position + 1, size)
                if found is None:
                    break
                junk, after = junk + found - position, found
            position = after
            continue
        if position + frame.length > size:
            break
        marked = head[frame.side : frame.side + 4] in (b"Xing", b"Info") or head[36:40] == b"VBRI"
        marked = marked and frame.kind.layer == 3
        if marked or not streams or streams[-1].kind != frame.kind:
            streams.append(Stream(frame.kind, frame.samples))
        if marked:
            _read_information(file, position, frame.length, frame.side, streams[-1])
        else:
            streams[-1].add(position, frame.length)
        position += frame.length
    return streams, junk, position


def _stands(file: BinaryIO, position: int) -> bool:
    """Whether the frame of another kind at `position` begins a stream."""
    return find_frames(file, mpeg_frame, position, position + 1) is not None


def _read_information(file: BinaryIO, position: int, length: int, side: int, stream: Stream) -> None:
    """Number of frames, delay and padding, as Xing's, LAME's and Fraunhofer's encoders write them."""
    file.seek(position)
    frame = file.read(length)
    if frame[36:40] == b"VBRI":
        stream.promised = int.from_bytes(frame[50:54], "big")
        return
    flags, at = frame[side + 7], side + 8
    if flags & 1:
        stream.promised = int.from_bytes(frame[at : at + 4], "big")
    at += sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    encoder, numbers = frame[at : at + 9], frame[at + 21 : at + 24]
    if encoder.strip(b"\0") and len(numbers) == 3:
        stream.delay = (numbers[0] << 4 | numbers[1] >> 4) + DECODER_DELAY
        stream.padding = max(0, ((numbers[1] & 15) << 8 | numbers[2]) - DECODER_DELAY)
