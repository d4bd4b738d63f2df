"""A sampler for SoundFont 2 files: keys of an instrument → sound.

It plays what the demo's music needs of the format (SoundFont Technical Specification 2.04, sections 7 to 9): zones by
key and velocity, tuning, loops, the volume envelope and attenuation. Modulators, low frequency oscillators, filters,
panning and effects are left out.

Why not a synthesizer package: none that installs with pip alone played this music. symusic 0.5.8 sounds many presets
of the soundfont at a wrong pitch (its piano 13 semitones high), plays every velocity alike, and never returns for a
note above a preset's range.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Zone = dict[int, int]  # generator → amount

# Generators, by their numbers in the specification (8.1.3)
ATTACK, HOLD, DECAY, SUSTAIN, RELEASE = 34, 35, 36, 37, 38
INSTRUMENT, KEY_RANGE, VELOCITY_RANGE, ATTENUATION, COARSE_TUNE, FINE_TUNE = 41, 43, 44, 48, 51, 52
SAMPLE, SAMPLE_MODES, SCALE_TUNING, ROOT_KEY = 53, 54, 56, 58
OFFSETS = {"start": (0, 4), "end": (1, 12), "loop_start": (2, 45), "loop_end": (3, 50)}  # fine, coarse (32,768)
DEFAULTS = {ATTACK: -12000, HOLD: -12000, DECAY: -12000, RELEASE: -12000, SCALE_TUNING: 100}
ATTENUATION_SCALE = 0.4  # as on the hardware that most soundfonts were made for; the specification says 1
SILENCE_DB = 100.0  # the envelope's decay and release fall this far in their time


@dataclass(frozen=True)
class Sample:
    """A header of the sample data (7.10): positions in it, its rate in Hz, and the MIDI key and cents it sounds at."""

    start: int
    end: int
    loop_start: int
    loop_end: int
    rate: int
    key: int
    cents: int


@dataclass(frozen=True)
class Tone:
    """A held key: samples (S,) float32 at full velocity, and how fast it fades when let go (dB per second)."""

    samples: np.ndarray
    release: float


class SoundFont:
    """The presets of a file, played at `sample_rate`. Raises ValueError for a file that is no SoundFont 2."""

    def __init__(self, path: str | Path, sample_rate: int):
        data = Path(path).read_bytes()
        if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
            raise ValueError(f"{path}: not a SoundFont 2 file; reinstall the package that brings it")
        self.sample_rate = sample_rate
        chunks: dict[bytes, bytes] = {}
        for kind, start, size in _chunks(data, 12, len(data)):
            if kind == b"LIST":
                chunks |= {name: data[at : at + n] for name, at, n in _chunks(data, start + 4, start + size)}
        self.data = np.frombuffer(chunks[b"smpl"], "<i2").astype(np.float32) / 32768
        self.samples = [Sample(*fields[1:8]) for fields in struct.iter_unpack("<20s5IBbHH", chunks[b"shdr"])]
        self.instruments = _zones(chunks, b"inst", "<20sH", b"ibag", b"igen", SAMPLE)
        headers = list(struct.iter_unpack("<20sHHHIII", chunks[b"phdr"]))
        presets = _zones(chunks, b"phdr", "<20sHHHIII", b"pbag", b"pgen", INSTRUMENT)
        self.presets = {(fields[2], fields[1]): zones for fields, zones in zip(headers, presets, strict=False)}

    def zones(self, bank: int, program: int, key: int, velocity: int) -> list[Zone]:
        """The sample zones that a key sounds, generators of the preset added to the instrument's (9.4)."""
        found = []
        for preset in _matching(self.presets[bank, program], key, velocity):
            for zone in _matching(self.instruments[preset[INSTRUMENT]], key, velocity):
                added = {g: amount for g, amount in preset.items() if g not in (INSTRUMENT, KEY_RANGE, VELOCITY_RANGE)}
                found.append(zone | {g: zone.get(g, DEFAULTS.get(g, 0)) + amount for g, amount in added.items()})
        return found

    def tone(self, bank: int, program: int, key: int, seconds: float, velocity: int = 100) -> Tone:
        """A key held for so long: the sum of its zones. A key without a sample is silent."""
        num_samples = round(seconds * self.sample_rate)
        zones = self.zones(bank, program, key, velocity)
        parts = [self._play(zone, key, num_samples) for zone in zones]
        release = max((SILENCE_DB / _seconds(zone.get(RELEASE, DEFAULTS[RELEASE])) for zone in zones), default=1000.0)
        samples = np.stack(parts).sum(axis=0, dtype=np.float32) if parts else np.zeros(num_samples, np.float32)
        return Tone(samples, min(release, 1000.0))

    def _play(self, zone: Zone, key: int, num_samples: int) -> np.ndarray:
        """One zone, held: (S,)."""
        sample = self.samples[zone[SAMPLE]]
        root = zone[ROOT_KEY] if zone.get(ROOT_KEY, -1) >= 0 else sample.key
        cents = (key - root) * zone.get(SCALE_TUNING, 100) + sample.cents
        cents += 100 * zone.get(COARSE_TUNE, 0) + zone.get(FINE_TUNE, 0)
        places = np.arange(num_samples) * (2 ** (cents / 1200) * sample.rate / self.sample_rate)
        start, end, loop_start, loop_end = (
            getattr(sample, name) + zone.get(fine, 0) + 32768 * zone.get(coarse, 0)
            for name, (fine, coarse) in OFFSETS.items()
        )
        places += start
        if zone.get(SAMPLE_MODES, 0) & 1 and loop_end > loop_start:
            over = places >= loop_end
            places[over] = loop_start + (places[over] - loop_start) % (loop_end - loop_start)
        else:
            places = places[places < end - 1]
        whole = places.astype(np.int64)
        between = (places - whole).astype(np.float32)
        sound = np.zeros(num_samples, np.float32)
        sound[: len(whole)] = self.data[whole] * (1 - between) + self.data[whole + 1] * between
        loudness = 10 ** (-ATTENUATION_SCALE * zone.get(ATTENUATION, 0) / 200)
        return sound * (self._envelope(zone, num_samples) * np.float32(loudness))

    def _envelope(self, zone: Zone, num_samples: int) -> np.ndarray:
        """The volume envelope of a held key (9.1.7): a linear rise, then a fall linear in dB to the sustain level."""
        attack, hold, decay = (_seconds(zone.get(g, -12000)) for g in (ATTACK, HOLD, DECAY))
        time = np.arange(num_samples, dtype=np.float32) / self.sample_rate
        fallen = np.clip((time - attack - hold) * (SILENCE_DB / decay), 0, min(zone.get(SUSTAIN, 0) / 10, SILENCE_DB))
        return np.minimum(time / attack, 1) * 10 ** (-fallen / 20)


def _seconds(timecents: int) -> float:
    return 2 ** (timecents / 1200)


def _chunks(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, size) of the RIFF chunks in data[start:end]."""
    while start < end:
        size = struct.unpack_from("<I", data, start + 4)[0]
        yield data[start : start + 4], start + 8, size
        start += 8 + size + size % 2


def _zones(chunks: dict, header: bytes, layout: str, bag: bytes, generator: bytes, last: int) -> list[list[Zone]]:
    """The zones of each preset or instrument, the global zone's generators beneath each (7.3, 7.7)."""
    bags = [fields[0] for fields in struct.iter_unpack("<HH", chunks[bag])]
    amounts = list(struct.iter_unpack("<Hh", chunks[generator]))
    place = 3 if header == b"phdr" else 1
    firsts = [fields[place] for fields in struct.iter_unpack(layout, chunks[header])]
    items = []
    for first, after in zip(firsts, firsts[1:], strict=False):
        zones = [dict(amounts[bags[i] : bags[i + 1]]) for i in range(first, after)]
        common = zones[0] if zones and last not in zones[0] else {}
        items.append([common | zone for zone in zones if last in zone])
    return items


def _matching(zones: list[Zone], key: int, velocity: int) -> list[Zone]:
    """The zones whose ranges (low byte to high byte) hold the key and the velocity."""

    def inside(amount: int, value: int) -> bool:
        return amount & 255 <= value <= amount >> 8 & 255

    return [
        z for z in zones if inside(z.get(KEY_RANGE, 0x7F00), key) and inside(z.get(VELOCITY_RANGE, 0x7F00), velocity)
    ]
