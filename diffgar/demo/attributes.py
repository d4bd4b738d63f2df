"""What a demo track is made of: the values of its attributes, and the instruments that play them."""

from dataclasses import dataclass
from itertools import product

import numpy as np

TEMPOS = {"slow": (60, 74), "medium": (92, 110), "fast": (136, 164)}  # beats per minute
MOODS = {
    ("major", "slow"): "peaceful",
    ("major", "medium"): "cheerful",
    ("major", "fast"): "energetic",
    ("minor", "slow"): "melancholic",
    ("minor", "medium"): "mysterious",
    ("minor", "fast"): "tense",
}


@dataclass(frozen=True)
class Orchestra:
    """The instruments of a collection by role, with their General MIDI programs; the kits are the soundfont's."""

    leads: dict[str, int]
    backings: dict[str, int]
    basses: dict[str, int]
    kits: dict[str, int]

    def attributes(self) -> dict[str, list[str]]:
        """The values of each attribute."""
        return {
            "lead": list(self.leads),
            "backing": list(self.backings),
            "bass": ["none", *self.basses],
            "drums": ["none", *self.kits],
            "tempo": list(TEMPOS),
            "mode": ["major", "minor"],
            "metre": ["four", "waltz"],
            "texture": ["sustained", "arpeggios", "staccato"],
            "register": ["low", "middle", "high"],
            "density": ["sparse", "moderate", "busy"],
            "mood": [MOODS[key] for key in product(["major", "minor"], TEMPOS)],
        }


DEMO = Orchestra(
    leads={
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
    },
    backings={
        "electric piano": 4,
        "organ": 16,
        "strings": 48,
        "choir": 52,
        "harp": 46,
        "accordion": 21,
        "brass": 61,
        "synth pad": 89,
    },
    basses={"upright bass": 32, "electric bass": 33, "synth bass": 38},
    kits={"rock": 0, "jazz": 40, "electronic": 25, "latin": 0},
)
ATTRIBUTES = DEMO.attributes()


def draw_attributes(random: np.random.Generator, orchestra: Orchestra = DEMO) -> dict[str, str]:
    """A value of each attribute, all independent but the mood."""
    drawn = {name: values[random.integers(len(values))] for name, values in orchestra.attributes().items()}
    if random.random() < 0.4:  # a collection of which half is in three would be strange
        drawn["metre"] = "four"
    return drawn | {"mood": MOODS[drawn["mode"], drawn["tempo"]]}
