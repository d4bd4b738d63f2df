"""Sound of the demo's songs: each part played by the sampler, brought to its level, and mixed."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from diffgar.demo.music import Part, Song
from diffgar.demo.soundfont import SoundFont, Tone

SAMPLE_RATE = 22_050  # Hz; not the encoder's, so that resampling is exercised


@lru_cache(maxsize=1)
def soundfont() -> SoundFont:
    """The General MIDI soundfont that pretty_midi installs (GPL: used in place, not copied)."""
    package = find_spec("pretty_midi")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pretty_midi brings the demo's soundfont; pip install pretty_midi")
    return SoundFont(Path(package.origin).with_name("TimGM6mb.sf2"), SAMPLE_RATE)


TONES: dict[tuple[int, int, int], Tone] = {}  # every key played so far, as long as it was needed


def tone(bank: int, program: int, key: int, num_samples: int) -> Tone:
    """A held key of at least so many samples."""
    known = TONES.get((bank, program, key))
    if known is None or len(known.samples) < num_samples:
        seconds = 2 ** np.ceil(np.log2(max(num_samples / SAMPLE_RATE, 0.5)))
        known = TONES[bank, program, key] = soundfont().tone(bank, program, key, seconds)
    return known


def render(song: Song) -> np.ndarray:
    """The song as (S,) float32 mono at SAMPLE_RATE, unscaled; it fades out in its last half second."""
    mix = np.zeros(round(song.seconds * SAMPLE_RATE), np.float32)
    for part in song.parts:
        samples = render_part(part, len(mix))
        mix += samples * np.float32(10 ** (part.level / 20) / loudness(samples))
    fade = SAMPLE_RATE // 2
    mix[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return mix


def render_part(part: Part, num_samples: int) -> np.ndarray:
    """One part as (S,) float32, at the soundfont's own level; a note rings on as it fades by 60 dB."""
    samples = np.zeros(num_samples, np.float32)
    for start, length, key, velocity in part.notes:
        at, held = round(start * SAMPLE_RATE), max(1, round(length * SAMPLE_RATE))
        release = tone(part.bank, part.program, key, held).release  # dB per second
        tail = min(round(60 / release * SAMPLE_RATE), SAMPLE_RATE)
        piece = tone(part.bank, part.program, key, held + tail).samples[: held + tail] * np.float32(
            (velocity / 127) ** 2
        )
        piece[held:] *= fade(release, tail)
        piece = piece[: num_samples - at]
        samples[at : at + len(piece)] += piece
    return samples


@lru_cache(maxsize=256)
def fade(release: float, num_samples: int) -> np.ndarray:
    """Gains (S,) of a note that was let go, falling by `release` dB per second."""
    return (10 ** (-release / 20 * np.arange(num_samples) / SAMPLE_RATE)).astype(np.float32)


def loudness(samples: np.ndarray) -> float:
    """Root mean square of the louder half of the quarter seconds: rests do not count."""
    frame = SAMPLE_RATE // 4
    power = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(axis=1)
    return float(np.sqrt(np.sort(power)[len(power) // 2 :].mean())) + 1e-6
