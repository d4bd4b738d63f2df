"""Wording of the demo's captions: attributes → sentences that name only some of them."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np

Words = dict[str, dict[str, list[str]]]

# How often a caption names each attribute: the higher, the more often; what a listener would mention first comes first.
SALIENCE = {
    "lead": 6.0,
    "backing": 3.5,
    "drums": 3.0,
    "tempo": 1.6,
    "mood": 1.6,
    "bass": 1.4,
    "register": 1.2,
    "texture": 1.2,
    "density": 1.0,
    "metre": 0.8,
    "mode": 0.8,
}
COUNTS, COUNT_SHARES = (2, 3, 4), (0.3, 0.45, 0.25)  # attributes per caption, and how often

ADJECTIVES: Words = {
    "tempo": {
        "slow": ["slow", "slow-paced", "unhurried"],
        "medium": ["mid-tempo", "medium-paced", "walking-pace"],
        "fast": ["fast", "up-tempo", "quick"],
    },
    "mood": {
        "peaceful": ["peaceful", "calm", "serene"],
        "cheerful": ["cheerful", "happy", "sunny"],
        "energetic": ["energetic", "joyful", "exuberant"],
        "melancholic": ["melancholic", "sad", "mournful"],
        "mysterious": ["mysterious", "brooding", "dark"],
        "tense": ["tense", "restless", "dramatic"],
    },
}
KEYS: Words = {  # after the noun
    "mode": {"major": ["in a major key", "in major"], "minor": ["in a minor key", "in minor"]},
    "metre": {
        "four": ["in four-four time", "in common time"],
        "waltz": ["in waltz time", "in three-four time"],
    },
}
THINGS: Words = {  # after "with"
    "drums": {
        "rock": ["rock drums", "a rock beat on drums", "driving rock drums"],
        "jazz": ["jazz drums", "swinging drums with brushes", "a jazz ride cymbal"],
        "electronic": ["electronic drums", "a drum machine", "an electronic dance beat"],
        "latin": ["latin percussion", "congas and shaker", "bongos and claves"],
    },
    "bass": {
        "upright bass": ["upright bass", "double bass", "an acoustic upright bass"],
        "electric bass": ["electric bass", "bass guitar", "a fingered electric bass"],
        "synth bass": ["synth bass", "a synthetic bass line"],
    },
    "texture": {
        "sustained": ["sustained chords", "long held chords", "slowly changing held chords"],
        "arpeggios": ["arpeggios", "broken chords", "rippling arpeggios"],
        "staccato": ["staccato chords", "short chopped chords", "chords stabbed on every beat"],
    },
    "register": {
        "low": ["a low melody", "a deep melodic line"],
        "middle": ["a melody in the middle register", "a mid-range melodic line"],
        "high": ["a high melody", "a melody high up in the treble"],
    },
    "density": {
        "sparse": ["a sparse melody", "a melody of few long notes"],
        "moderate": ["a flowing melody", "a melody of moderate activity"],
        "busy": ["a busy melody", "a melody of many quick notes"],
    },
}
LEAD = ["{} melody", "lead {}", "{} playing the tune", "{} solo", "melody on {}"]
BACKING = ["{} in the background", "{} accompaniment", "backing {}", "{} chords", "a bed of {}"]
SYNONYMS = {
    "saxophone": ["saxophone", "sax", "tenor saxophone"],
    "electric guitar": ["electric guitar", "clean electric guitar"],
    "distorted guitar": ["distorted guitar", "overdriven rock guitar", "heavy guitar"],
    "acoustic guitar": ["acoustic guitar", "nylon guitar"],
    "synthesizer": ["synthesizer", "synth", "saw synth"],
    "violin": ["violin", "fiddle"],
    "vibraphone": ["vibraphone", "vibes"],
    "marimba": ["marimba", "wooden marimba"],
    "organ": ["organ", "drawbar organ"],
    "electric piano": ["electric piano", "electric keys"],
    "strings": ["strings", "string section"],
    "choir": ["choir", "vocal choir"],
    "brass": ["brass", "brass section"],
    "synth pad": ["synth pad", "warm pad"],
}
NOUNS = ["piece", "track", "recording", "song", "instrumental"]


def names_of(instrument: str) -> list[str]:
    """What captions call an instrument, its own name first."""
    return SYNONYMS.get(instrument, [instrument])


def phrasings(name: str, value: str) -> list[str]:
    """An attribute's value as short captions, the plainest first: what a negative caption says ("rock drums")."""
    if value == "none":
        return [f"no {name}"]
    if name == "lead":
        return [value, f"lead {value}", f"{value} solo"]
    if name == "backing":
        return [value, f"backing {value}", f"{value} in the background"]
    for table in (ADJECTIVES, KEYS, THINGS):
        if name in table:
            return list(table[name][value])
    raise KeyError(f"no attribute {name!r} to phrase")


def phrase(name: str, value: str) -> str:
    """The plainest of `phrasings`."""
    return phrasings(name, value)[0]


def negation(name: str, value: str) -> str:
    """What a caption says at its end of a value that is not wanted: "without rock drums", "not slow"."""
    return f"{'not' if name in ADJECTIVES or name in KEYS else 'without'} {phrase(name, value)}"


def caption(
    attributes: dict[str, str], random: np.random.Generator, untold: Collection[str] = ()
) -> tuple[str, list[str]]:
    """A caption of two to four of the attributes, without those that change in time, and their names."""
    named = draw_names(random.choice(COUNTS, p=COUNT_SHARES), random, untold)
    return sentence({name: attributes[name] for name in named}, random), named


def draw_names(
    count: int,
    random: np.random.Generator,
    untold: Collection[str] = (),
    salience: Mapping[str, float] = MappingProxyType(SALIENCE),
) -> list[str]:
    """The names of so many attributes, by their salience, none of `untold`."""
    shares = np.array([0.0 if name in untold else share for name, share in salience.items()])
    picked = set(random.choice(len(shares), size=count, replace=False, p=shares / shares.sum()))
    return [name for i, name in enumerate(salience) if i in picked]


def sentence(named: dict[str, str], random: np.random.Generator) -> str:
    """Words for these attributes, in one of four styles: a full sentence, two word orders, or a list of tags."""

    def pick(options: list[str]) -> str:
        return options[random.integers(len(options))]

    adjectives = [pick(ADJECTIVES[name][value]) for name, value in named.items() if name in ADJECTIVES]
    keys = [pick(KEYS[name][value]) for name, value in named.items() if name in KEYS]
    without = [name for name, value in named.items() if value == "none"]
    things = [pick(THINGS[n][v]) for n, v in named.items() if n in THINGS and v != "none"]
    for name, templates in (("lead", LEAD), ("backing", BACKING)):
        if name in named:
            things.append(pick(templates).format(pick(names_of(named[name]))))
    for words in (adjectives, things):
        random.shuffle(words)
    noun, style = pick(NOUNS), random.integers(4)
    absent = f"{pick(['without', 'no'])} {' or '.join(without)}" if without else ""
    if style == 0 or not (things or adjectives):
        tags = [*adjectives, *things, *keys, *([absent] if absent else [])]
        random.shuffle(tags)
        return ", ".join(tags)
    body = " ".join([*([", ".join(adjectives)] if adjectives else []), noun, *keys])
    ending = f", without {' or '.join(without)}" if without else ""
    if style == 1 or not things:
        return sentence_case(article(body) + (f" with {listed(things)}" if things else "") + ending)
    if style == 2:
        return sentence_case(f"{listed(things)} in {article(body)}{ending}")
    return sentence_case(f"this {body} features {listed(things)}{ending}")


def listed(words: list[str]) -> str:
    """Words as a list: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def article(words: str) -> str:
    """The words with an indefinite article."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def sentence_case(words: str) -> str:
    """The words as a sentence."""
    return words[0].upper() + words[1:] + "."
