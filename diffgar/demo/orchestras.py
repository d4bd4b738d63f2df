"""Orchestras of the collections beside the demo's: other programs of the same soundfont, and a mixture of both."""

from diffgar.demo.attributes import DEMO, Orchestra

GENERAL = Orchestra(
    leads={
        "bright piano": 1,
        "honky-tonk piano": 3,
        "harpsichord": 6,
        "clavinet": 7,
        "xylophone": 13,
        "kalimba": 108,
        "steel drums": 114,
        "steel guitar": 25,
        "jazz guitar": 26,
        "muted guitar": 28,
        "overdriven guitar": 29,
        "banjo": 105,
        "shamisen": 106,
        "koto": 107,
        "viola": 41,
        "folk fiddle": 110,
        "trombone": 57,
        "muted trumpet": 59,
        "french horn": 60,
        "soprano saxophone": 64,
        "alto saxophone": 65,
        "oboe": 68,
        "bassoon": 70,
        "bagpipe": 109,
        "piccolo": 72,
        "recorder": 74,
        "pan flute": 75,
        "ocarina": 79,
        "square synthesizer": 80,
        "calliope synthesizer": 82,
        "synthetic voice": 85,
    },
    backings={
        "chorused piano": 5,
        "electric grand": 2,
        "church organ": 19,
        "reed organ": 20,
        "tremolo strings": 44,
        "slow strings": 49,
        "voice oohs": 53,
        "choir pad": 91,
        "new age pad": 88,
        "polysynth": 90,
        "synth brass": 62,
        "pizzicato strings": 45,
    },
    basses={"tuba": 58, "fretless bass": 35, "picked bass": 34, "slap bass": 36, "square bass": 39},
    kits={"rock": 16, "jazz": 32, "electronic": 24, "latin": 8},
)

FAMILIES = {  # family → the instruments of any orchestra that are of it
    "keys": ["piano", "bright piano", "honky-tonk piano", "harpsichord", "clavinet"],
    "bells": ["vibraphone", "marimba", "music box", "xylophone", "kalimba", "steel drums"],
    "guitars": ["acoustic guitar", "electric guitar", "steel guitar", "jazz guitar", "muted guitar"],
    "distortion": ["distorted guitar", "overdriven guitar"],
    "plucked": ["sitar", "harp", "banjo", "shamisen", "koto", "pizzicato strings"],
    "bowed": ["violin", "cello", "strings", "viola", "folk fiddle", "tremolo strings", "slow strings"],
    "brass": ["trumpet", "brass", "trombone", "muted trumpet", "french horn", "synth brass"],
    "reeds": [
        "saxophone",
        "clarinet",
        "harmonica",
        "soprano saxophone",
        "alto saxophone",
        "oboe",
        "bassoon",
        "bagpipe",
    ],
    "flutes": ["flute", "piccolo", "recorder", "pan flute", "ocarina"],
    "synths": ["synthesizer", "square synthesizer", "calliope synthesizer"],
    "voices": ["choir", "voice oohs", "choir pad", "synthetic voice"],
    "electric keys": ["electric piano", "chorused piano", "electric grand"],
    "organs": ["organ", "accordion", "church organ", "reed organ"],
    "pads": ["synth pad", "new age pad", "polysynth"],
    "deep": ["upright bass", "tuba", "fretless bass"],
    "electric": ["electric bass", "picked bass", "slap bass"],
    "synthetic": ["synth bass", "square bass"],
}
FAMILY_OF = {instrument: family for family, instruments in FAMILIES.items() for instrument in instruments}


def mixture(*orchestras: Orchestra) -> Orchestra:
    """Every other instrument of each orchestra, in their order, with the drums of the first."""

    def every_other(*roles: dict[str, int]) -> dict[str, int]:
        return {name: program for role in roles for name, program in list(role.items())[::2]}

    return Orchestra(
        leads=every_other(*(each.leads for each in orchestras)),
        backings=every_other(*(each.backings for each in orchestras)),
        basses=every_other(*(each.basses for each in orchestras)),
        kits=orchestras[0].kits,
    )


THIRD = mixture(DEMO, GENERAL)
