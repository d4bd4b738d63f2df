"""Wording of the captions of styled collections: a style, a use, an instrument, a tempo, a mood.

The general collection's never name an accompaniment, a register, a density, a metre or a texture, and name a lead by
its family only. They share a few plain words with the demo's ("slow", "sad", "piano"), as captions of any collection
do; the rest are their own. Those of the third are longer, in other words again.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from diffgar.demo.captions import Words, draw_names, listed, sentence_case

STYLE = {
    "bossa nova": ["bossa nova", "Brazilian bossa", "samba-jazz"],
    "swing": ["swing", "big-band swing", "jazz club standard"],
    "lullaby": ["lullaby", "cradle song"],
    "ambient": ["ambient", "ambient soundscape"],
    "techno": ["techno", "club techno", "rave anthem"],
    "hard rock": ["hard rock", "heavy metal", "stadium rock"],
    "country": ["country", "bluegrass", "country and western"],
    "baroque": ["baroque", "baroque chamber suite"],
    "film score": ["film score", "cinematic soundtrack", "movie score"],
    "reggae": ["reggae", "ska groove", "Caribbean reggae"],
    "folk dance": ["folk dance", "village reel", "jig"],
    "march": ["march", "parade march", "marching tune"],
    "meditation": ["meditation", "zen meditation"],
}
USE = {
    "café": ["for a café", "to play in a coffee house"],
    "sleep": ["to fall asleep", "for bedtime"],
    "workout": ["for a workout", "to run to at the gym"],
    "party": ["for a party", "to get people dancing"],
    "road trip": ["for a road trip", "to drive to"],
    "suspense": ["for a suspense scene", "under a thriller"],
    "children": ["for children", "for a kids' show"],
    "study": ["to study to", "to concentrate"],
    "ceremony": ["for a ceremony", "for a solemn occasion"],
    "yoga": ["for yoga", "to unwind"],
    "village fair": ["for a village fair", "for a barn dance"],
}
GENERAL_WORDS: Words = {
    "style": STYLE,
    "use": USE,
    "family": {
        "keys": ["keyboard", "keys", "piano"],
        "bells": ["tuned percussion", "mallets"],
        "guitars": ["guitar", "clean guitar"],
        "distortion": ["overdriven guitar", "distorted riffs"],
        "plucked": ["plucked strings", "a zither"],
        "bowed": ["bowed strings", "a string player", "strings"],
        "brass": ["brass", "horns", "trumpets"],
        "reeds": ["reeds", "a woodwind", "saxophones"],
        "flutes": ["flutes", "a whistle"],
        "synths": ["synth lead", "electronic lead"],
        "voices": ["wordless voice", "vocals without words"],
    },
    "tempo": {
        "slow": ["slow", "downtempo", "lazy"],
        "medium": ["grooving", "strolling"],
        "fast": ["fast", "brisk", "racing"],
    },
    "mood": {
        "peaceful": ["calm", "mellow", "soothing"],
        "cheerful": ["happy", "feel-good", "bright"],
        "energetic": ["energetic", "lively", "exhilarating"],
        "melancholic": ["sad", "wistful", "bittersweet"],
        "mysterious": ["dark", "moody", "shadowy"],
        "tense": ["tense", "edgy", "gritty"],
    },
}
THIRD_WORDS: Words = {
    "style": {style: [f"{words[-1]} music"] for style, words in STYLE.items()},
    "use": {use: words[-1:] for use, words in USE.items()},
    "family": {
        "keys": ["a hammered keyboard", "a keyboardist up front"],
        "bells": ["pitched mallet hits", "chiming bars"],
        "guitars": ["a strummer's six-string", "finger-picked six-string"],
        "distortion": ["crunchy amplified riffing", "fuzz"],
        "plucked": ["twangy plucking", "a plucked folk instrument"],
        "bowed": ["bowing", "a bowed instrument up front"],
        "brass": ["a horn player", "horns up front"],
        "reeds": ["a reed player", "a woodwind player"],
        "flutes": ["airy whistling", "a whistle up front"],
        "synths": ["a computer-game lead", "oscillator leads"],
        "voices": ["a humming voice", "wordless singing"],
    },
    "drums": {
        "none": ["nothing percussive", "no beat at all"],
        "rock": ["a backbeat", "a punchy acoustic kit"],
        "jazz": ["a swung shuffle", "brushwork"],
        "electronic": ["programmed beats", "four-on-the-floor kicks"],
        "latin": ["hand percussion", "a carnival groove"],
    },
    "tempo": {
        "slow": ["lethargic", "crawling"],
        "medium": ["steady", "relaxed-pace"],
        "fast": ["rapid", "high-tempo"],
    },
    "mood": {
        "peaceful": ["tranquil", "calming"],
        "cheerful": ["cheery", "light-hearted"],
        "energetic": ["vigorous", "euphoric"],
        "melancholic": ["sorrowful", "nostalgic"],
        "mysterious": ["eerie", "enigmatic"],
        "tense": ["nervous", "suspenseful"],
    },
}


@dataclass(frozen=True)
class Wording:
    """What a collection's captions name, how often each, and in which words; `counts`: attributes per caption."""

    salience: dict[str, float]
    words: Words
    counts: tuple[int, ...]

    def caption(
        self, attributes: dict[str, str], random: np.random.Generator, untold: Collection[str] = ()
    ) -> tuple[str, list[str]]:
        """A caption of some of the attributes, and their names."""
        named = draw_names(int(random.choice(self.counts)), random, untold, self.salience)
        words = {name: self._word(name, attributes[name], random) for name in named}
        adjectives = [words[name] for name in ("tempo", "mood") if name in words]
        things = [words[name] for name in ("family", "drums") if name in words]
        if random.random() < 0.35:  # tags
            tags = list(words.values())
            random.shuffle(tags)
            return ", ".join(tags), named
        core = " ".join([*([", ".join(adjectives)] if adjectives else []), words.get("style", "music")])
        parts = [*([f"with {listed(things)}"] if things else []), *([words["use"]] if "use" in words else [])]
        random.shuffle(parts)
        joint = ", " if random.random() < 0.5 else " "
        return sentence_case(joint.join([core, *parts])), named

    def phrases(self) -> dict[str, dict[str, str]]:
        """Each value's plainest word."""
        return {name: {value: words[0] for value, words in values.items()} for name, values in self.words.items()}

    def _word(self, name: str, value: str, random: np.random.Generator) -> str:
        options = self.words[name][value]
        return options[random.integers(len(options))]


GENERAL_WORDING = Wording(
    {"style": 4.0, "use": 2.5, "family": 2.5, "mood": 1.5, "tempo": 1.2}, GENERAL_WORDS, counts=(2, 2, 3, 3, 4)
)
THIRD_WORDING = Wording(
    {"family": 3.0, "style": 2.0, "mood": 2.0, "drums": 2.0, "tempo": 1.5, "use": 1.0}, THIRD_WORDS, counts=(3, 4, 4, 5)
)
