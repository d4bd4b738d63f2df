"""A file on disk → mono float32 at a sample rate → windows.

Everything streams: `blocks` decodes and resamples a few seconds at a time and `load` joins them, so that a
two-hour file costs no more memory than a short one and the samples do not depend on how they were read.
Channels are averaged.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from diffgar.dataloading.decoders.decode import decode
from diffgar.dataloading.decoders.parts import AudioError

# Linear-phase FIR at soxr's "HQ" setting: 20-bit precision, pass band to 0.91 of the lower Nyquist frequency.
# It is librosa's default too.
QUALITY = "HQ"
RESAMPLER = f"soxr-{QUALITY.lower()}-{soxr.__version__}"  # goes on the store's card
RATES = range(1000, 1_000_001)  # Hz; the resampler would make hours of a file that says 1 Hz
SHORTEST = 0.01  # seconds; one sample may resample to none, and is no music
LOUDEST = 256  # +48 dBFS: samples of -1 to 1 never come near it, integers that were written as floats do
SILENCE = 10 ** (-90 / 20)  # -90 dBFS: under it lies only the last bit of sixteen


def blocks(
    path: Path | str, sample_rate: int, start: float | None = None, end: float | None = None
) -> Iterator[np.ndarray]:
    """Blocks (S_i,) float32 of the file, or of its seconds `start` to `end`, at `sample_rate` Hz.

    A clip whose `end` lies beyond the file ends with the file. Joined, the blocks are bitwise the whole
    file resampled at once; where streams of several rates were joined in a file, each is resampled by itself.
    Raises AudioError for a file that is missing, empty, truncated, not audio, under 10 ms, silent, not finite or
    louder than +48 dBFS; what shows only at the end of the file (its length, silence) is raised after its last block.
    """
    path, peak, loudest, seconds = Path(path), 0.0, 0.0, 0.0
    resampler, before = None, None
    for rate, block in decode(path, start or 0.0, end):
        if rate not in RATES:
            raise AudioError(path, f"is of {rate} Hz by its header, which no audio is", "write its header anew")
        if not np.isfinite(block).all():
            raise AudioError(path, f"has NaN or infinite samples near {seconds:.1f} s", "render or convert it again")
        mono = mix(block)
        if (found := float(np.abs(mono).max(initial=0.0))) > LOUDEST:
            reason = f"has samples of {found:.3g}, where -1 to 1 is full scale: integers written as decimals"
            raise AudioError(path, reason, "divide them by 32768 (16 bits) and write it again")
        peak = max(peak, float(np.abs(mono).max(initial=0.0)))
        if peak < SILENCE:
            loudest = max(loudest, float(np.abs(block).max(initial=0.0)))
        seconds += len(mono) / rate
        if rate != before:
            if resampler is not None:
                yield _rest(resampler)
            resampler = None if rate == sample_rate else _resampler(rate, sample_rate)
            before = rate
        yield mono if resampler is None else resampler.resample_chunk(mono)
    if resampler is not None:
        yield _rest(resampler)
    _refuse_nothing(path, seconds, start, peak, loudest)


def _resampler(rate: int, sample_rate: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality=QUALITY)


def _rest(resampler: soxr.ResampleStream) -> np.ndarray:
    return resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _refuse_nothing(path: Path, seconds: float, start: float | None, peak: float, loudest: float) -> None:
    """Raise AudioError for what has no sound: too short, silent, or silent in the mean of its channels."""
    where = "" if not start else f" from {start:g} s on"
    if seconds == 0:
        raise AudioError(path, f"holds no sample{where}", "fetch it again, or correct start_s in the table")
    if seconds < SHORTEST:
        reason = f"holds {1000 * seconds:.2g} ms{where}, less than {1000 * SHORTEST:g} ms"
        raise AudioError(path, reason, "correct start_s and end_s, or leave its row out of the table")
    if peak < SILENCE <= loudest:
        reason = "has channels that cancel each other: their mean is silent, they are not"
        raise AudioError(path, reason, "turn one of them over, or keep one channel")
    if peak < SILENCE:
        raise AudioError(path, "is silent (no sample above -90 dBFS)", "replace it, or leave its row out of the table")


def mix(block: np.ndarray) -> np.ndarray:
    """The mean over the channels of a block (S, channels) → (S,), added in order: the same in any block."""
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    return mono if block.shape[1] == 1 else mono / np.float32(block.shape[1])


def load(path: Path | str, sample_rate: int, start: float | None = None, end: float | None = None) -> np.ndarray:
    """The file, or its seconds `start` to `end`, joined from its `blocks`: (S,) float32 mono."""
    return np.concatenate(list(blocks(path, sample_rate, start, end)))


def window_samples(sample_rate: int, window_seconds: float, hop_seconds: float) -> tuple[int, int]:
    """Window and hop in samples. Raises ValueError where one of them is less than a sample."""
    width, hop = round(window_seconds * sample_rate), round(hop_seconds * sample_rate)
    if width < 1 or hop < 1:
        raise ValueError(
            f"window_seconds {window_seconds} or hop_seconds {hop_seconds} is no sample at {sample_rate} Hz"
        )
    return width, hop


def pad_short(waveform: np.ndarray, width: int, short_padding: str) -> np.ndarray:
    """A waveform (S,) shorter than a window, filled to (width,) at its end; a longer one as it is.

    "zeros" (MusCALL) · "repeat" (CLAP's repeatpad: the whole repetitions that fit, then zeros) · "wrap" (MuQ-MuLan:
    repetitions to the end) · "reflect" (MULE). A waveform [1, 2, 3] to eight samples: [1, 2, 3, 0, 0, 0, 0, 0] ·
    [1, 2, 3, 1, 2, 3, 0, 0] · [1, 2, 3, 1, 2, 3, 1, 2] · [1, 2, 3, 2, 1, 2, 3, 2].
    Raises ValueError for an empty waveform and another word.
    """
    if len(waveform) >= width:
        return waveform
    if len(waveform) == 0:
        raise ValueError("an empty waveform cannot be padded to a window; check what was read")
    if short_padding == "reflect":
        return np.pad(waveform, (0, width - len(waveform)), mode="reflect")
    if short_padding == "wrap":
        return np.resize(waveform, width)
    if short_padding == "repeat":
        waveform = np.tile(waveform, width // len(waveform))
    elif short_padding != "zeros":
        raise ValueError(f"unknown short_padding {short_padding!r}; choose zeros, repeat, wrap or reflect")
    return np.pad(waveform, (0, width - len(waveform)))


def windows(
    waveform: np.ndarray,
    sample_rate: int,
    window_seconds: float,
    hop_seconds: float,
    short_padding: str = "zeros",
) -> np.ndarray:
    """Windows (T, W) of a waveform (S,): a read-only view, copied nowhere.

    The last partial window is dropped; a waveform shorter than a window makes one, filled by `pad_short`. At one sample
    per second, 7 s in windows of 3 s every 2 s are samples 0–2, 2–4 and 4–6.
    """
    width, hop = window_samples(sample_rate, window_seconds, hop_seconds)
    waveform = pad_short(waveform, width, short_padding)
    return np.lib.stride_tricks.sliding_window_view(waveform, width)[::hop]  # (T, W)
