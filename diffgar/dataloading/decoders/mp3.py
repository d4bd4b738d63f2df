"""MP3 (MPEG audio, layers I to III): the frames that `mp3_scan` has found, one after the other, through libsndfile.

libsndfile is shown no header's count of frames, which it would believe, and one stream at a time, after which it would
stop.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from diffgar.dataloading.decoders.mp3_scan import Mp3Fault, Stream, scan
from diffgar.dataloading.decoders.mpeg import mpeg_frame
from diffgar.dataloading.decoders.parts import FETCH, AudioError, Part, Sequential, View, size_of, whole_file
from diffgar.dataloading.decoders.quiet import quiet
from diffgar.dataloading.places import file_of

RESERVOIR = 511  # bytes of earlier frames that a frame of layer III may use
PHASE = 8  # frames after which the decoder's filter bank rounds in the same order


def mp3_parts(path: Path, file: BinaryIO, start: int) -> Iterator[Part]:
    """The streams of an MP3 file whose first frame is at byte `start`. Raises AudioError if it is not whole."""
    size = size_of(file)
    try:
        streams = scan(str(path), start, size, file_of(path).stat().st_mtime_ns)
    except Mp3Fault as fault:
        raise AudioError(path, str(fault), FETCH) from None
    for stream in streams:
        alone = whole_file(path, file) if len(streams) == 1 else None
        yield Part(stream.kind.rate, stream.trimmed, partial(_read, alone, file, stream, size))


def _read(
    alone: Path | View | None, file: BinaryIO, stream: Stream, size: int, first: int, last: int | None, count: int
) -> Iterator[np.ndarray]:
    left = (stream.trimmed if last is None else min(last, stream.trimmed)) - first
    opened, skip = _open(alone, file, stream, size, first)
    with opened:
        while left > 0:
            with quiet():
                block = opened.read(min(count, skip + left), dtype="float32", always_2d=True)
            if len(block) == 0:
                return
            sound = block[skip : skip + left]
            skip, left = max(0, skip - len(block)), left - len(sound)
            if len(sound):
                yield sound


def _open(alone: Path | View | None, file: BinaryIO, stream: Stream, size: int, first: int) -> tuple[Sequential, int]:
    """The stream, from a place before sample `first` on, and how many samples lie between.

    alone: the file, if it has no other stream; it is opened itself where libsndfile takes its length as it is.
    """
    with quiet():
        if alone and first == 0:
            with contextlib.suppress(soundfile.LibsndfileError):  # of what stands before the first frame
                opened = Sequential(alone)
                if opened.frames == stream.trimmed:
                    return opened, 0
                opened.close()
        enter = _enter(file, stream, (first + stream.delay) // stream.frame_samples)
        opened = Sequential(_view(file, stream, enter, size))
    return opened, first + stream.delay - enter * stream.frame_samples


def _view(file: BinaryIO, stream: Stream, enter: int, size: int) -> View:
    """The frames from number `enter` on, and bytes behind them that are never decoded.

    libsndfile reads as many samples as there would be if all bytes were frames like the first one.
    """
    begin = stream.offsets[enter]
    runs = [(max(begin, start), end) for start, end in stream.runs if end > begin]
    file.seek(begin)
    frame = mpeg_frame(file.read(4))
    assert frame is not None
    lacking = (len(stream.offsets) - enter + 2) * (frame.length + 1) - sum(end - start for start, end in runs)
    return View(file, *runs, *[(0, size)] * -(-max(0, lacking) // size))


def _enter(file: BinaryIO, stream: Stream, wanted: int) -> int:
    """The frame to read from so that frame `wanted` sounds as if all were read.

    It needs the two frames before it, whose overlap is added to it, and the bytes that those borrow from others.
    """
    enter, held = max(0, wanted - 2), 0
    while enter and held < RESERVOIR:
        enter -= 1
        file.seek(stream.offsets[enter])
        frame = mpeg_frame(file.read(4))
        assert frame is not None
        held += frame.length - frame.side
    return enter // PHASE * PHASE
