"""Decoding: a file → blocks of mono samples at its own rate, and the checks that a decoder does not make.

WAV, FLAC, OGG (Vorbis, Opus), MP3 and AIFF through libsndfile; M4A, AAC, MP4 and WebM through PyAV where
that is installed. libsndfile reads a cut WAV, OGG or MP3 without a word, so what its header or last page
promises is compared with what is there.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from diffgar.errors import InputError

BLOCK_FRAMES = 2**18  # about 6 s at 44.1 kHz
AV_SUFFIXES = {".m4a", ".aac", ".mp4", ".webm", ".mka", ".wma"}
TOLERANCE_SECONDS = 0.1  # encoder delay and padding, which decoders trim differently: a few frames of 26 ms
FETCH = "fetch or convert the file again"
UNREADABLE = "cannot be decoded ({}): truncated, damaged or not audio"


class AudioError(InputError):
    """A file that cannot be used: its path, the reason, and what to do."""

    def __init__(self, path: Path | str, reason: str, remedy: str):
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path, self.reason = str(path), reason


def decode(path: Path, start: float, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    """(rate in Hz, mono block (S,) float32) from second `start` to `end` or the file's end.

    Raises AudioError for a file that is missing, empty, truncated or not audio.
    """
    if not path.is_file():
        raise AudioError(path, "is missing", "check audio_root and path_template, or set missing: skip")
    if path.stat().st_size == 0:
        raise AudioError(path, "is empty (0 bytes)", FETCH)
    if end is not None and end <= start:
        raise AudioError(path, f"is to be read from {start:g} s to {end:g} s", "correct start_s and end_s")
    if path.suffix.lower() in AV_SUFFIXES:
        yield from _decode_av(path, start, end)
    else:
        yield from _decode_sndfile(path, start, end)


def _decode_sndfile(path: Path, start: float, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    try:
        with soundfile.SoundFile(path) as file:
            rate, wanted = file.samplerate, file.frames
            wanted = wanted if end is None else min(round(end * rate), wanted)
            _refuse_cut(path, file.format)
            position = min(round(start * rate), file.frames)
            if position:
                file.seek(position)
            while end is None or position < wanted:
                count = BLOCK_FRAMES if end is None else min(BLOCK_FRAMES, wanted - position)
                block = file.read(count, dtype="float32", always_2d=True)  # (S, channels)
                if len(block) == 0:
                    break
                position += len(block)
                yield rate, mix(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(path, UNREADABLE.format(error.error_string.strip().rstrip(".")), FETCH) from error
    missing = (wanted - position) / rate
    if missing > TOLERANCE_SECONDS and _promise_holds(path, file.format):
        raise AudioError(path, f"is truncated: {missing:.1f} s of {wanted / rate:.1f} s are not there", FETCH)


def mix(block: np.ndarray) -> np.ndarray:
    """The mean over the channels of a block (S, channels) → (S,), added in order: the same in any block."""
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    return mono if block.shape[1] == 1 else mono / np.float32(block.shape[1])


def _refuse_cut(path: Path, container: str) -> None:
    """Refuse a WAV shorter than its data chunk, and an OGG that does not end with its last page."""
    with path.open("rb") as file:
        if container in ("WAV", "WAVEX"):
            missing = _missing_wav_bytes(file, path.stat().st_size)
            if missing > 0:
                raise AudioError(path, f"is truncated: {missing} bytes of samples are not there", FETCH)
        if container == "OGG":
            file.seek(max(0, path.stat().st_size - 2**17))  # an OGG page has at most 65,307 bytes
            tail = file.read()
            page = tail[tail.rfind(b"OggS") :]
            if len(page) < 27 or not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
                raise AudioError(path, "is truncated: its last page is not there", FETCH)


def _missing_wav_bytes(file, size: int) -> int:
    """The bytes that a RIFF file lacks of its data chunk; 0 where a streamed header does not say."""
    if file.read(4) != b"RIFF":
        return 0
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            return 0 if length in (0, 0xFFFFFFFF) else position + 8 + length - size
        position += 8 + length + length % 2
    return 0


def _promise_holds(path: Path, container: str) -> bool:
    """Whether the number of frames is the file's own: without a Xing or VBRI header an MP3's is a guess."""
    if container not in ("MP3", "MPEG"):
        return True
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its length in four bytes of seven bits
            file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)))
        else:
            file.seek(0)
        frame = file.read(256)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _decode_av(path: Path, start: float, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    try:
        import av
    except ImportError as error:
        raise AudioError(path, f"{path.suffix} is decoded by PyAV", "pip install av, or convert it") from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(path, "has no audio stream", FETCH)
            stream = container.streams.audio[0]
            rate, planar = stream.rate, av.AudioResampler(format="fltp")
            promised = float(container.duration or 0) / av.time_base
            position, first, last = 0, round(start * rate), None if end is None else round(end * rate)
            for frame in container.decode(stream):
                for part in planar.resample(frame):
                    block = mix(part.to_ndarray().T)[max(0, first - position) :]
                    position += part.samples
                    block = block if last is None else block[: max(0, len(block) - (position - last))]
                    if len(block):
                        yield rate, block
                if last is not None and position >= last:
                    return
    except av.FFmpegError as error:
        raise AudioError(path, UNREADABLE.format(error), FETCH) from error
    if promised - position / rate > 2 * TOLERANCE_SECONDS:
        raise AudioError(path, f"is truncated: {position / rate:.1f} s of {promised:.1f} s are there", FETCH)
