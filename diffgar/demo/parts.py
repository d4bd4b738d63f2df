"""The parts of a demo song: melody, accompaniment, bass and drums as lists of (start, length, pitch).

Times are in beats, pitches are MIDI numbers. A `tune` is {"key": 0-11, "scale": semitones, "chords": one list of
scale degrees per bar, "bar_beats": 3 or 4}.
"""

import numpy as np

REGISTERS = {"low": 50, "middle": 65, "high": 78}  # MIDI centre of the melody
LENGTHS = {  # beats of a melody note, and how often
    "sparse": ((2, 3, 4), (0.5, 0.25, 0.25)),
    "moderate": ((0.5, 1, 1.5, 2), (0.3, 0.45, 0.15, 0.1)),
    "busy": ((0.25, 0.5), (0.45, 0.55)),
}
KICK, SNARE, CLAP, HAT, PEDAL_HAT, OPEN_HAT, CRASH, RIDE = 36, 38, 39, 42, 44, 46, 49, 51
COWBELL, HIGH_BONGO, LOW_BONGO, MUTE_CONGA, CONGA, LOW_CONGA, MARACAS, CLAVES = 56, 60, 61, 62, 63, 64, 70, 75


def pitch_of(tune: dict, degree: int, octave: int) -> int:
    """MIDI pitch of a scale degree, counted from the key's root in an octave; degrees go on beyond 7."""
    return 12 * (octave + degree // 7) + tune["key"] + tune["scale"][degree % 7]


def nearest(pitch: int, centre: int) -> int:
    """The octave of a pitch that lies nearest to `centre`."""
    return pitch + 12 * round((centre - pitch) / 12)


def rhythm(density: str, bar_beats: int, random: np.random.Generator) -> list[tuple[float, float]]:
    """(start, length) of the melody's notes in a bar."""
    lengths, weights = LENGTHS[density]
    starts, at = [], 0.0
    while at < bar_beats:
        length = float(min(random.choice(lengths, p=weights), bar_beats - at))
        starts.append((at, length))
        at += length
    return starts


def lead_notes(tune: dict, register: str, density: str, random: np.random.Generator) -> list:
    """A melody of two one-bar motifs in the order A A B A, varied in pitch, chord tones on the bar's first beat."""
    motifs = [rhythm(density, tune["bar_beats"], random) for _ in range(2)]
    contours = [random.integers(-2, 3, size=len(motif)) for motif in motifs]
    centre = REGISTERS[register]
    notes = []
    for bar, chord in enumerate(tune["chords"]):
        which = 1 if bar % 4 == 2 else 0
        degree = int(chord[random.integers(3)])
        last = bar == len(tune["chords"]) - 1
        motif = [(0.0, float(tune["bar_beats"]))] if last else motifs[which]
        for (start, length), move in zip(motif, contours[which], strict=False):
            if start > 0:
                degree += int(move) if random.random() < 0.8 else int(random.integers(-2, 3))
            pitch = nearest(pitch_of(tune, degree, 5), centre)
            notes.append((bar * tune["bar_beats"] + start, 0.92 * length, pitch))
    return notes


def backing_notes(tune: dict, texture: str, random: np.random.Generator) -> list:
    """The chords: held for the bar, broken into eighth notes, or short on every beat."""
    notes, beats = [], tune["bar_beats"]
    centre = int(random.integers(55, 62))
    order = [(0, 1, 2, 1), (0, 1, 2, 3), (0, 2, 1, 2)][random.integers(3)]
    for bar, chord in enumerate(tune["chords"]):
        pitches = sorted(nearest(pitch_of(tune, degree, 4), centre) for degree in chord)
        begin = bar * beats
        if texture == "sustained":
            notes += [(begin, 0.98 * beats, pitch) for pitch in pitches]
        elif texture == "arpeggios":
            ladder = [*pitches, pitches[0] + 12]
            for i in range(2 * beats):
                notes.append((begin + i / 2, 0.5, ladder[order[i % len(order)]]))
        else:
            for i in range(beats):
                notes += [(begin + i, 0.2, pitch) for pitch in pitches]
    return notes


def bass_notes(tune: dict, drums: str) -> list:
    """A bass line after the drums: walking for jazz, eighth notes for electronic, roots and fifths else."""
    notes, beats = [], tune["bar_beats"]
    for bar, chord in enumerate(tune["chords"]):
        root = nearest(pitch_of(tune, chord[0], 3), 38)
        fifth = nearest(pitch_of(tune, chord[2], 3), 40)
        third = nearest(pitch_of(tune, chord[1], 3), 40)
        begin = bar * beats
        line: list[tuple[float, float, int]]
        if drums == "jazz":
            line = [(i, 0.95, (root, third, fifth, third)[i]) for i in range(beats)]
        elif drums == "electronic":
            line = [(i / 2, 0.4, root + 12 * (i % 2)) for i in range(2 * beats)]
        elif drums == "latin":
            line = [(0, 1.4, root), (1.5, 0.5, fifth), (2, beats - 2.05, fifth)]
        else:
            line = [(0, 1.9, root), (2, beats - 2.05, fifth)]
        notes += [(begin + at, length, pitch) for at, length, pitch in line]
    return notes


def drum_notes(style: str, num_bars: int, bar_beats: int) -> list:
    """A beat of one bar, repeated, with a fill or a crash every fourth bar where the style has it."""
    notes = []
    for bar in range(num_bars):
        begin = bar * bar_beats
        notes += [(begin + at, 0.9, drum) for at, drum in PATTERNS[style](bar_beats)]
        if style == "rock" and bar % 4 == 0:
            notes.append((begin, 2.0, CRASH))
        if style in ("rock", "electronic") and bar % 4 == 3:
            notes += [(begin + bar_beats - 1 + i / 4, 0.3, SNARE) for i in range(4)]
    return notes


def _rock(beats: int) -> list[tuple[float, int]]:
    backbeat = [(b, SNARE) for b in ((1, 3) if beats == 4 else (1, 2))]
    kicks = [(b, KICK) for b in ((0, 2, 2.5) if beats == 4 else (0,))]
    return kicks + backbeat + [(i / 2, HAT) for i in range(2 * beats)]


def _jazz(beats: int) -> list[tuple[float, int]]:
    ride = [(b, RIDE) for b in range(beats)] + [(b + 0.667, RIDE) for b in range(1, beats, 2)]
    return [(0, KICK), *ride, *((b, PEDAL_HAT) for b in range(1, beats, 2)), (beats - 1.333, SNARE)]


def _electronic(beats: int) -> list[tuple[float, int]]:
    claps = [(b, CLAP) for b in range(1, beats, 2)]
    return [(b, KICK) for b in range(beats)] + claps + [(b + 0.5, OPEN_HAT) for b in range(beats)]


def _latin(beats: int) -> list[tuple[float, int]]:
    congas = [(0, MUTE_CONGA), (0.5, LOW_CONGA), (1, CONGA), (1.5, HIGH_BONGO)]
    congas += [(2, MUTE_CONGA), (2.5, CONGA), (3, LOW_CONGA), (3.5, LOW_BONGO)]
    clave = [(b, CLAVES) for b in (0, 1.5, 3)] + [(b, COWBELL) for b in range(0, beats, 2)]
    shaker = [(i / 2, MARACAS) for i in range(2 * beats)]
    return [hit for hit in congas + clave + shaker if hit[0] < beats]


PATTERNS = {"rock": _rock, "jazz": _jazz, "electronic": _electronic, "latin": _latin}
