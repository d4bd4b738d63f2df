"""A small composer: attributes → notes.

Every attribute is audible and is drawn on its own, but for the mood, which follows from mode and tempo. All
randomness comes from the generator that is handed in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from diffgar.demo.parts import backing_notes, bass_notes, drum_notes, lead_notes

# General MIDI programs
LEADS = {
    "piano": 0,
    "vibraphone": 11,
    "marimba": 12,
    "music box": 10,
    "acoustic guitar": 24,
    "electric guitar": 27,
    "distorted guitar": 30,
    "violin": 40,
    "cello": 42,
    "trumpet": 56,
    "saxophone": 66,
    "flute": 73,
    "clarinet": 71,
    "harmonica": 22,
    "sitar": 104,
    "synthesizer": 81,
}
BACKINGS = {
    "electric piano": 4,
    "organ": 16,
    "strings": 48,
    "choir": 52,
    "harp": 46,
    "accordion": 21,
    "brass": 61,
    "synth pad": 89,
}
BASSES = {
    "upright bass": 32,
    "electric bass": 33,
    "synth bass": 38,
}
KITS = {"rock": 0, "jazz": 40, "electronic": 25, "latin": 0}  # the soundfont's drum kits
TEMPOS = {"slow": (60, 74), "medium": (92, 110), "fast": (136, 164)}  # beats per minute
MOODS = {
    ("major", "slow"): "peaceful",
    ("major", "medium"): "cheerful",
    ("major", "fast"): "energetic",
    ("minor", "slow"): "melancholic",
    ("minor", "medium"): "mysterious",
    ("minor", "fast"): "tense",
}

ATTRIBUTES: dict[str, list[str]] = {
    "lead": list(LEADS),
    "backing": list(BACKINGS),
    "bass": ["none", *BASSES],
    "drums": ["none", *KITS],
    "tempo": list(TEMPOS),
    "mode": ["major", "minor"],
    "metre": ["four", "waltz"],
    "texture": ["sustained", "arpeggios", "staccato"],
    "register": ["low", "middle", "high"],
    "density": ["sparse", "moderate", "busy"],
    "mood": [MOODS[key] for key in product(["major", "minor"], TEMPOS)],
}
PROGRESSIONS = {  # scale degrees of the chords' roots, four bars
    "major": [(0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4)],
    "minor": [(0, 5, 2, 6), (0, 3, 6, 0), (0, 6, 5, 6), (0, 3, 5, 0)],
}
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}


LEVELS = {"lead": 0, "backing": -6, "bass": -5, "drums": -5}  # dB


@dataclass(frozen=True)
class Part:
    """One instrument's notes (start, length, key, velocity), times in beats, and its loudness in the mix."""

    program: int
    level: float  # dB
    notes: list[tuple[float, float, int, int]]
    bank: int = 0  # 128: drums


@dataclass(frozen=True)
class Song:
    """A composed piece: its tempo, its length and its parts."""

    beats_per_minute: float
    seconds: float
    parts: list[Part]


def draw_attributes(random: np.random.Generator) -> dict[str, str]:
    """One value of each attribute, all independent but the mood."""
    drawn = {name: values[random.integers(len(values))] for name, values in ATTRIBUTES.items()}
    if random.random() < 0.4:  # a collection of which half is in three would be strange
        drawn["metre"] = "four"
    return drawn | {"mood": MOODS[drawn["mode"], drawn["tempo"]]}


def draw_timing(attributes: dict[str, str], random: np.random.Generator) -> tuple[float, int, int]:
    """Beats per minute, beats per bar, and bars, drawn before all else of a song: 20 to 30 s of whole bars."""
    tempo = round(random.uniform(*TEMPOS[attributes["tempo"]]), 1)
    bar_beats = 3 if attributes["metre"] == "waltz" else 4
    return tempo, bar_beats, int(np.ceil(random.uniform(20.0, 25.0) * tempo / (60 * bar_beats)))


def compose(attributes: dict[str, str], random: np.random.Generator) -> Song:
    """Notes that sound as the attributes say."""
    tempo, bar_beats, num_bars = draw_timing(attributes, random)
    progressions = PROGRESSIONS[attributes["mode"]]
    roots = progressions[random.integers(len(progressions))] * num_bars
    tune = {
        "key": int(random.integers(12)),
        "scale": SCALES[attributes["mode"]],
        "chords": [[root + step for step in (0, 2, 4)] for root in roots[:num_bars]],
        "bar_beats": bar_beats,
    }
    return Song(tempo, num_bars * bar_beats * 60 / tempo, list(draw_parts(attributes, tune, random)))


def draw_parts(attributes: dict[str, str], tune: dict, random: np.random.Generator) -> Iterator[Part]:
    """The instruments that play the tune, each within 2 dB of its usual loudness, no two notes quite alike."""

    def part(role: str, program: int, notes: list, bank: int = 0) -> Part:
        velocities = np.clip(random.normal(100, 7, len(notes)), 60, 127).astype(int).tolist()
        notes = [(*note, velocity) for note, velocity in zip(notes, velocities, strict=True)]
        return Part(program, LEVELS[role] + random.uniform(-2, 2), notes, bank)

    melody = lead_notes(tune, attributes["register"], attributes["density"], random)
    yield part("lead", LEADS[attributes["lead"]], melody)
    yield part("backing", BACKINGS[attributes["backing"]], backing_notes(tune, attributes["texture"], random))
    if attributes["bass"] != "none":
        yield part("bass", BASSES[attributes["bass"]], bass_notes(tune, attributes["drums"]))
    if attributes["drums"] != "none":
        hits = drum_notes(attributes["drums"], len(tune["chords"]), tune["bar_beats"])
        yield part("drums", KITS[attributes["drums"]], hits, bank=128)
