"""Styles, which give music its structure: each has its usual instruments, drums, tempo and texture.

A use ("for a café") is served by several unlike styles.
"""

import numpy as np

from diffgar.demo.attributes import MOODS, Orchestra, draw_attributes
from diffgar.demo.orchestras import FAMILY_OF

Typical = dict[str, tuple[str, ...]]  # attribute → its usual values; of instruments, their families

STYLES: dict[str, Typical] = {
    "bossa nova": {
        "lead": ("guitars", "flutes", "reeds"),
        "backing": ("electric keys", "bowed"),
        "bass": ("deep",),
        "drums": ("latin",),
        "tempo": ("medium",),
        "metre": ("four",),
        "texture": ("staccato", "arpeggios"),
        "density": ("moderate",),
    },
    "swing": {
        "lead": ("brass", "reeds", "keys"),
        "backing": ("brass", "electric keys"),
        "bass": ("deep",),
        "drums": ("jazz",),
        "tempo": ("medium", "fast"),
        "metre": ("four",),
        "texture": ("staccato",),
        "mode": ("major",),
    },
    "lullaby": {
        "lead": ("bells", "voices", "flutes"),
        "backing": ("plucked", "voices", "bowed"),
        "bass": ("none",),
        "drums": ("none",),
        "tempo": ("slow",),
        "metre": ("waltz", "four"),
        "mode": ("major",),
        "register": ("high",),
        "density": ("sparse", "moderate"),
    },
    "ambient": {
        "lead": ("synths", "voices", "flutes"),
        "backing": ("pads", "voices"),
        "bass": ("none", "synthetic"),
        "drums": ("none",),
        "tempo": ("slow",),
        "texture": ("sustained",),
        "density": ("sparse",),
    },
    "techno": {
        "lead": ("synths",),
        "backing": ("pads", "brass"),
        "bass": ("synthetic",),
        "drums": ("electronic",),
        "tempo": ("fast",),
        "metre": ("four",),
        "texture": ("staccato", "arpeggios"),
        "mode": ("minor",),
        "density": ("busy",),
    },
    "hard rock": {
        "lead": ("distortion",),
        "backing": ("organs", "brass"),
        "bass": ("electric",),
        "drums": ("rock",),
        "tempo": ("fast", "medium"),
        "metre": ("four",),
        "mode": ("minor",),
        "register": ("low", "middle"),
    },
    "country": {
        "lead": ("plucked", "guitars", "bowed"),
        "backing": ("electric keys", "plucked"),
        "bass": ("electric",),
        "drums": ("rock",),
        "tempo": ("medium", "fast"),
        "metre": ("four",),
        "texture": ("arpeggios", "staccato"),
        "mode": ("major",),
        "density": ("busy", "moderate"),
    },
    "baroque": {
        "lead": ("keys", "flutes", "reeds"),
        "backing": ("bowed", "organs"),
        "bass": ("none",),
        "drums": ("none",),
        "tempo": ("medium",),
        "texture": ("arpeggios",),
        "density": ("busy",),
    },
    "film score": {
        "lead": ("brass", "bowed"),
        "backing": ("bowed", "voices"),
        "bass": ("none", "deep"),
        "drums": ("none",),
        "tempo": ("slow", "medium"),
        "texture": ("sustained",),
        "mode": ("minor",),
        "register": ("low", "middle"),
        "density": ("sparse",),
    },
    "reggae": {
        "lead": ("bells", "guitars", "keys"),
        "backing": ("organs",),
        "bass": ("electric",),
        "drums": ("latin", "rock"),
        "tempo": ("slow", "medium"),
        "metre": ("four",),
        "texture": ("staccato",),
    },
    "folk dance": {
        "lead": ("bowed", "flutes", "reeds"),
        "backing": ("organs", "plucked"),
        "bass": ("none",),
        "drums": ("none", "latin"),
        "tempo": ("fast",),
        "metre": ("waltz",),
        "density": ("busy",),
    },
    "march": {
        "lead": ("brass", "flutes"),
        "backing": ("brass", "organs"),
        "bass": ("deep",),
        "drums": ("rock",),
        "tempo": ("medium",),
        "metre": ("four",),
        "texture": ("staccato",),
        "mode": ("major",),
        "density": ("moderate",),
    },
    "meditation": {
        "lead": ("plucked", "flutes"),
        "backing": ("pads", "plucked"),
        "bass": ("none",),
        "drums": ("none",),
        "tempo": ("slow",),
        "texture": ("sustained", "arpeggios"),
        "mode": ("minor",),
        "density": ("sparse",),
    },
}
USES: dict[str, tuple[str, ...]] = {  # use → the styles that serve it
    "café": ("bossa nova", "swing", "baroque"),
    "sleep": ("lullaby", "ambient", "meditation"),
    "workout": ("techno", "hard rock", "folk dance"),
    "party": ("techno", "reggae", "swing"),
    "road trip": ("country", "hard rock", "reggae"),
    "suspense": ("film score", "ambient", "techno"),
    "children": ("lullaby", "march", "country"),
    "study": ("ambient", "baroque", "bossa nova"),
    "ceremony": ("march", "baroque", "film score"),
    "yoga": ("meditation", "ambient", "bossa nova"),
    "village fair": ("folk dance", "country", "march"),
}
EXCEPTIONS = 0.12  # share of a style's attributes that are drawn as if it had no style


def uses_of(style: str) -> list[str]:
    """The uses that a style serves."""
    return [use for use, styles in USES.items() if style in styles]


def draw_styled(random: np.random.Generator, orchestra: Orchestra) -> dict[str, str]:
    """A track's attributes, mostly those usual in its style; the style, the lead's family, and one use beside them."""
    attributes, values = draw_attributes(random, orchestra), orchestra.attributes()
    style = str(random.choice(list(STYLES)))
    for name, typical in STYLES[style].items():
        if random.random() >= EXCEPTIONS:
            wanted = typical[random.integers(len(typical))]
            fitting = [value for value in values[name] if wanted in (value, FAMILY_OF.get(value))]
            attributes[name] = fitting[random.integers(len(fitting))]
    attributes["mood"] = MOODS[attributes["mode"], attributes["tempo"]]
    uses = uses_of(style)
    described = {"style": style, "family": FAMILY_OF[attributes["lead"]], "use": uses[random.integers(len(uses))]}
    return attributes | described
