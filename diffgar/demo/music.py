"""A small composer: attributes, and a course in time → notes.

Every attribute is audible and is drawn on its own, but for the mood, which follows from mode and tempo. All
randomness comes from the generator that is handed in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from diffgar.demo.attributes import DEMO, TEMPOS, Orchestra
from diffgar.demo.courses import ROLES, Course, Section, sections
from diffgar.demo.parts import backing_notes, bass_notes, drum_notes, lead_notes

PROGRESSIONS = {  # scale degrees of the chords' roots, four bars
    "major": [(0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4)],
    "minor": [(0, 5, 2, 6), (0, 3, 6, 0), (0, 6, 5, 6), (0, 3, 5, 0)],
}
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

LEVELS = {"lead": 0, "backing": -6, "bass": -5, "drums": -5}  # dB


@dataclass(frozen=True)
class Part:
    """One instrument's notes (start, length, key, velocity), times in seconds, and its loudness in the mix."""

    program: int
    level: float  # dB
    notes: list[tuple[float, float, int, int]]
    bank: int = 0  # 128: drums


@dataclass(frozen=True)
class Song:
    """A composed piece: its length in seconds and its parts."""

    seconds: float
    parts: list[Part]


@dataclass(frozen=True)
class Stretch:
    """A section with its place in the song: its first bar, its bars, its start (s) and the length of a beat (s)."""

    section: Section
    bar: int
    num_bars: int
    start: float
    beat: float


def bar_beats_of(attributes: dict[str, str]) -> int:
    """The beats of a bar."""
    return 3 if attributes["metre"] == "waltz" else 4


def draw_timing(
    attributes: dict[str, str], course: Course | None, random: np.random.Generator, backwards: bool = False
) -> list[Stretch]:
    """The sections in time, drawn before all else of a song: 20 to 35 s of whole bars.

    backwards: the sections in the other order, as in the reversed twin, whose draws are the same.
    """
    tempos = {name: round(random.uniform(*bounds), 1) for name, bounds in TEMPOS.items()}  # beats per minute
    seconds, share, bar_beats = random.uniform(22.0, 26.0), random.uniform(0.4, 0.6), bar_beats_of(attributes)
    parts, stretches, bar, start = sections(attributes, course, share), list[Stretch](), 0, 0.0
    for section in reversed(parts) if backwards else parts:
        beat = 60 / tempos[section.attributes["tempo"]]
        num_bars = max(1, round(section.share * seconds / (bar_beats * beat) + 0.3))
        stretches.append(Stretch(section, bar, num_bars, start, beat))
        bar, start = bar + num_bars, start + num_bars * bar_beats * beat
    return stretches


def length_of(stretches: Sequence[Stretch], bar_beats: int) -> float:
    """The length of a song, in seconds."""
    last = stretches[-1]
    return last.start + last.num_bars * bar_beats * last.beat


def compose(
    attributes: dict[str, str],
    random: np.random.Generator,
    course: Course | None = None,
    backwards: bool = False,
    orchestra: Orchestra = DEMO,
) -> Song:
    """Notes that sound as the attributes and the course say; backwards: those of the reversed twin."""
    stretches, bar_beats = draw_timing(attributes, course, random, backwards), bar_beats_of(attributes)
    progressions = PROGRESSIONS[attributes["mode"]]
    num_bars = sum(stretch.num_bars for stretch in stretches)
    roots = progressions[random.integers(len(progressions))] * num_bars
    tune = {
        "key": int(random.integers(12)),
        "scale": SCALES[attributes["mode"]],
        "chords": [[root + step for step in (0, 2, 4)] for root in roots[:num_bars]],
        "bar_beats": bar_beats,
    }
    return Song(length_of(stretches, bar_beats), list(draw_parts(attributes, stretches, tune, orchestra, random)))


def draw_parts(
    attributes: dict[str, str],
    stretches: Sequence[Stretch],
    tune: dict,
    orchestra: Orchestra,
    random: np.random.Generator,
) -> Iterator[Part]:
    """The instruments that play the tune, each within 2 dB of its usual loudness, no two notes quite alike."""
    levels = {role: LEVELS[role] + random.uniform(-2, 2) for role in ROLES}
    values = [stretch.section.attributes for stretch in stretches]
    densities = sorted({each["density"] for each in values})
    melodies = {density: lead_notes(tune, attributes["register"], density, random) for density in densities}
    chords = backing_notes(tune, attributes["texture"], random)

    def part(role: str, program: int, notes: list, bank: int = 0) -> Part:
        velocities = np.clip(random.normal(100, 7, len(notes)), 60, 127).astype(int).tolist()
        struck = [(*note, velocity) for note, velocity in zip(notes, velocities, strict=True)]
        return Part(program, levels[role], struck, bank)

    def played(role: str, notes: list) -> list:
        return [note for each in stretches if role in each.section.sounding for note in timed(notes, each, tune)]

    for lead in sorted({each["lead"] for each in values}):
        own = [stretch for stretch in stretches if stretch.section.attributes["lead"] == lead]
        melody = [note for each in own for note in timed(melodies[each.section.attributes["density"]], each, tune)]
        yield part("lead", orchestra.leads[lead], melody)
    yield part("backing", orchestra.backings[attributes["backing"]], played("backing", chords))
    if attributes["bass"] != "none":
        line = bass_notes(tune, attributes["drums"])
        yield part("bass", orchestra.basses[attributes["bass"]], played("bass", line))
    if attributes["drums"] != "none":
        hits = drum_notes(attributes["drums"], len(tune["chords"]), tune["bar_beats"])
        yield part("drums", orchestra.kits[attributes["drums"]], played("drums", hits), bank=128)


def timed(notes: list[tuple[float, float, int]], stretch: Stretch, tune: dict) -> list[tuple[float, float, int]]:
    """The notes of a stretch, from beats of the whole song to seconds."""
    first, end = stretch.bar * tune["bar_beats"], (stretch.bar + stretch.num_bars) * tune["bar_beats"]
    return [
        (stretch.start + (at - first) * stretch.beat, length * stretch.beat, pitch)
        for at, length, pitch in notes
        if first <= at < end
    ]
