"""Decoding: a file → blocks of its samples at its own rate. Its bytes decide what it is, not its name.

WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU and CAF through libsndfile; M4A, AAC, WebM, WMA and more through PyAV
where that is installed. Each reader compares what a header promises with what is there: a file is read whole, all of
its streams where it has several, or refused. A cut that nothing shows (at the end of a frame or page of a stream that
states no length) stays unseen.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from diffgar.dataloading.decoders.containers import OTHER, sniff
from diffgar.dataloading.decoders.embedded import open_audio
from diffgar.dataloading.decoders.mp3 import mp3_parts
from diffgar.dataloading.decoders.ogg import OtherCodec
from diffgar.dataloading.decoders.parts import FETCH, TOLERANCE_SECONDS, UNREADABLE, AudioError, Part, size_of
from diffgar.dataloading.decoders.pyav import av_blocks
from diffgar.dataloading.decoders.sndfile import chunk_parts, flac_parts, ogg_parts
from diffgar.dataloading.places import file_of

BLOCK_FRAMES = 2**18  # about 6 s at 44.1 kHz


def decode(path: Path, start: float, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    """(rate in Hz, block (S, channels) float32) from second `start` to `end` or the file's end.

    Raises AudioError for a file that is missing, may not be read, is empty, truncated or not audio, whatever the
    library that decodes it has raised.
    """
    try:
        _refuse_no_file(path)
        if end is not None and end <= start:
            raise AudioError(path, f"is to be read from {start:g} s to {end:g} s", "correct start_s and end_s")
        with open_audio(path) as file:
            if not size_of(file):
                raise AudioError(path, "is empty (0 bytes)", FETCH)
            yield from _decode(path, file, start, end)
    except AudioError:
        raise
    except PermissionError as error:
        raise AudioError(path, "may not be read (permission denied)", "let this user read it") from error
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})", "check the path and the disk") from error
    except soundfile.LibsndfileError as error:
        raise AudioError(path, UNREADABLE.format(error.error_string.strip().rstrip(".")), FETCH) from error
    except Exception as error:  # a bad file may raise anything in a decoder; it must not end the extraction
        raise AudioError(path, UNREADABLE.format(f"{type(error).__name__}: {error}"), FETCH) from error


def _refuse_no_file(path: Path) -> None:
    try:
        status = file_of(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        remedy = "check audio_root and path_template, or set missing: skip"
        raise AudioError(path, "is missing", remedy) from None
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(path, "is a folder, not a file", "correct its path in the table")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(path, "is a pipe or a device, not a file", "save it to a file first")


def _decode(path: Path, file: BinaryIO, start: float, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    kind, begin = sniff(file)
    if kind in OTHER:
        raise AudioError(path, *OTHER[kind])
    if kind == "MP3":
        yield from _cut_parts(path, mp3_parts(path, file, begin), start, end)
    elif kind == "FLAC":
        yield from _cut_parts(path, flac_parts(path, file, begin), start, end)
    elif kind == "OGG":
        try:
            yield from _cut_parts(path, ogg_parts(path, file, begin), start, end)
        except OtherCodec:  # raised before the first block
            yield from _cut_blocks(av_blocks(path, kind, file, begin), start, end)
    elif kind in ("WAV", "W64", "AIFF", "AU", "CAF"):
        yield from _cut_parts(path, chunk_parts(path, kind, file, begin), start, end)
    else:
        yield from _cut_blocks(av_blocks(path, kind, file, begin), start, end)


def _cut_parts(path: Path, parts: Iterator[Part], start: float, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    """The seconds `start` to `end` of parts that follow each other. Raises AudioError for one that holds too little."""
    elapsed = 0.0
    for part in parts:
        first = position = min(part.frames, max(0, round((start - elapsed) * part.rate)))
        last = None if end is None else max(first, round((end - elapsed) * part.rate))
        if last is None or last > first:
            for block in part.read(first, last, BLOCK_FRAMES):
                position += len(block)
                yield part.rate, block
        wanted = part.frames if last is None else min(last, part.frames)
        missing = (wanted - position) / part.rate
        if missing > TOLERANCE_SECONDS:
            raise AudioError(path, f"is truncated: {missing:.1f} s of {wanted / part.rate:.1f} s are not there", FETCH)
        elapsed += part.frames / part.rate
        if end is not None and elapsed >= end:
            return


def _cut_blocks(
    blocks: Iterator[tuple[int, np.ndarray]], start: float, end: float | None
) -> Iterator[tuple[int, np.ndarray]]:
    """The seconds `start` to `end` of blocks that follow each other."""
    elapsed, position, before = 0.0, 0, None  # seconds of earlier rates, samples of this one
    for rate, block in blocks:
        if before not in (None, rate):
            elapsed, position = elapsed + position / before, 0
        before = rate
        first, last = round((start - elapsed) * rate) - position, None
        if end is not None:
            last = max(0, round((end - elapsed) * rate) - position)
        kept = block[max(0, first) : last]
        position += len(block)
        if len(kept):
            yield rate, kept
        if last is not None and last <= len(block):
            return
