"""M4A, AAC, WebM, WMA and more through PyAV, where it is installed; it is no requirement."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from diffgar.dataloading.decoders.boxes import adts_length, is_cut_asf, is_cut_mp4, is_cut_webm
from diffgar.dataloading.decoders.containers import AV
from diffgar.dataloading.decoders.parts import FETCH, TOLERANCE_SECONDS, UNREADABLE, AudioError, View, size_of

MOST_CHANNELS = 8  # a damaged header may say 31; beyond 8 PyAV reads memory that is not the frame's
CUT = "is truncated: its last part is not whole"


def av_blocks(path: Path, kind: str | None, file: BinaryIO, begin: int) -> Iterator[tuple[int, np.ndarray]]:
    """(rate, block (S, channels)) of a file of this kind, which begins at byte `begin`.

    Raises AudioError where PyAV is not installed, or cannot decode the file, or finds less than its header promises.
    """
    try:
        import av
    except ImportError:
        if kind not in AV:
            raise AudioError(path, UNREADABLE.format("its format is not known"), FETCH) from None
        remedy = "pip install av, or convert it to WAV or FLAC"
        raise AudioError(path, f"is {AV[kind]}, which PyAV decodes", remedy) from None
    size, promised, seconds = size_of(file), _promised(path, kind, file, begin), 0.0
    try:
        with av.open(View(file, (begin, size)), "r", metadata_errors="replace") as container:
            if not container.streams.audio:
                raise AudioError(path, "has no audio stream", FETCH)
            if promised is None:
                promised = float(container.duration or 0) / av.time_base
            resampler, form = av.AudioResampler(format="fltp"), None
            for frame in container.decode(container.streams.audio[0]):
                if frame.layout.nb_channels > MOST_CHANNELS:
                    raise AudioError(path, f"has {frame.layout.nb_channels} channels, or is damaged", FETCH)
                if form != (form := (frame.rate, frame.layout.name, frame.format.name)):
                    resampler = av.AudioResampler(format="fltp", layout=frame.layout.name, rate=frame.rate)
                for part in resampler.resample(frame):
                    seconds += part.samples / part.sample_rate
                    yield part.sample_rate, part.to_ndarray().T
    except av.FFmpegError as error:
        raise AudioError(path, UNREADABLE.format(error.strerror), FETCH) from error
    if promised == 0 and kind == "WEBM" and is_cut_webm(file, begin, size):
        raise AudioError(path, CUT, FETCH)
    if promised - seconds > 2 * TOLERANCE_SECONDS:
        raise AudioError(path, f"is truncated: {seconds:.1f} s of {promised:.1f} s are there", FETCH)


def _promised(path: Path, kind: str | None, file: BinaryIO, begin: int) -> float | None:
    """Seconds of a file that names no duration, None where it may. Raises AudioError if it ends too early."""
    size, promised, whole = size_of(file), None, True
    if kind == "ADTS":
        promised, whole = adts_length(file, begin, size)
    elif kind == "MP4":
        whole = not is_cut_mp4(file, begin, size)
    elif kind == "ASF":
        whole = not is_cut_asf(file, begin, size)
    if not whole:
        raise AudioError(path, CUT, FETCH)
    return promised
