"""WAV, RF64, W64, AIFF, AU, CAF, FLAC and OGG through libsndfile, and the checks that it does not make.

It reads a truncated file without an error, only the first of several streams, and no more than a header promises.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from diffgar.dataloading.decoders import chunks, flac, ogg
from diffgar.dataloading.decoders.mp3 import mp3_parts
from diffgar.dataloading.decoders.parts import (
    FETCH,
    TOLERANCE_SECONDS,
    AudioError,
    Part,
    Sequential,
    View,
    size_of,
    whole_file,
)

OPUS_SECONDS = 10  # its decoder sounds as if it had read all after so much of what is before; the others do at once


def chunk_parts(path: Path, kind: str, file: BinaryIO, begin: int) -> Iterator[Part]:
    """The one part of a WAV, W64, AIFF, AU or CAF. Raises AudioError where its header promises another length."""
    size = size_of(file)
    sound = chunks.sound(kind, file, begin, size)
    if sound is None:
        raise AudioError(path, "is truncated or damaged: no samples follow its header", FETCH)
    there = size - sound.start
    if there <= 0 and sound.promised:
        raise AudioError(path, f"is truncated: none of its {sound.promised} bytes of samples is there", FETCH)
    if sound.mpeg:
        yield from mp3_parts(path, file, sound.start)
        return
    as_it_is = sound.promised == there or (kind != "W64" and sound.promised is not None and sound.promised < there)
    whole = begin == 0 and not sound.edits and as_it_is
    with Sequential(whole_file(path, file) if whole else sound.view(file, begin, size)) as opened:
        promised = there if sound.promised is None else sound.promised
        seconds_per_byte = opened.frames / opened.samplerate / max(1, min(there, promised))
        seconds, missing = promised * seconds_per_byte, (promised - there) * seconds_per_byte
        if missing > TOLERANCE_SECONDS or (promised > there and not opened.frames):
            text = f"is truncated: {missing:.1f} s of {seconds:.1f} s are not there"
            raise AudioError(path, text, FETCH)
        if -missing > TOLERANCE_SECONDS and not chunks.is_tail(file, sound.start + promised, size):
            text = f"holds {there - promised} bytes behind the {seconds:.1f} s that its header promises"
            raise AudioError(path, text, "write its header anew (by SoX or FFmpeg), or cut off what was added")
        yield Part(opened.samplerate, opened.frames, partial(_read, opened))


def flac_parts(path: Path, file: BinaryIO, begin: int) -> Iterator[Part]:
    """The streams of a FLAC file, mostly one. Raises AudioError for one that is not whole."""
    try:
        views = flac.streams(file, begin, size_of(file))
    except flac.FlacFault as fault:
        raise AudioError(path, str(fault), FETCH) from None
    yield from _sndfile_parts(path, file, views)


def ogg_parts(path: Path, file: BinaryIO, begin: int) -> Iterator[Part]:
    """The links of an OGG file, mostly one. Raises AudioError if it is not whole, OtherCodec if it is PyAV's."""
    size = size_of(file)
    try:
        links = ogg.links(file, begin, size)
    except ogg.OggFault as fault:
        raise AudioError(path, str(fault), FETCH) from None
    if any(link.codec not in ogg.READ or link.streams > 1 for link in links):
        raise ogg.OtherCodec
    whole = len(links) == 1 and links[0].has_end and (links[0].start, links[0].end) == (0, size)
    yield from _sndfile_parts(path, file, [None] if whole else [ogg.view(file, link) for link in links])


def _sndfile_parts(path: Path, file: BinaryIO, views: list[View | None]) -> Iterator[Part]:
    for view in views:
        with Sequential(whole_file(path, file) if view is None else view) as opened:
            yield Part(opened.samplerate, opened.frames, partial(_read, opened))


def _read(opened: Sequential, first: int, last: int | None, count: int) -> Iterator[np.ndarray]:
    last = opened.frames if last is None else min(last, opened.frames)
    before = OPUS_SECONDS * opened.samplerate if opened.subtype == "OPUS" else 0
    position = max(0, min(first, opened.frames) - before)
    if position:
        opened.seek(position)
    while position < last:
        block = opened.read(min(count, last - position), dtype="float32", always_2d=True)
        if len(block) == 0:
            return
        sound = block[max(0, first - position) :]
        position += len(block)
        if len(sound):
            yield sound
