"""Wording of the demo's composed requests: "the same, but slower", "replace the piano by a flute"."""

from collections.abc import Mapping, Sequence

import numpy as np

from diffgar.demo.captions import article, listed, phrase, phrasings

CLAUSES = ["the same, but {}", "this track, but {}", "like this, only {}", "something like this, but {}"]
ORDERS = ["{}", "{}, and leave the rest as it is", "the same piece: {}"]
KEEPING = ["keep the {}, but {}", "{1}, and keep the {0}"]  # names what stays
NAMES = {
    **{name: name for name in ("backing", "bass", "drums", "tempo", "metre")},
    **{"lead": "lead instrument", "mode": "key", "texture": "way of playing the chords"},
    **{"register": "register of the melody", "density": "activity of the melody"},
}
TEMPI = ["slow", "medium", "fast"]
WITHOUT_ARTICLE = ("strings", "brass")


def instruction(
    changed: str, before: Mapping[str, str], value: str, kept: Sequence[str], random: np.random.Generator
) -> str:
    """Words for giving attribute `changed` another value; in about half of them what stays is named too.

    before: the source's values of all attributes. kept: the attributes that stay; a part that the source has not is
    never named as one that stays.
    """

    def pick(options: list[str]) -> str:
        return options[random.integers(len(options))]

    clause, order = (
        pick(options) for options in ways(changed, before[changed], value, pick(phrasings(changed, value)))
    )
    stays = listed([NAMES[name] for name in kept if before[name] != "none"] or [""])
    if stays and random.random() < 0.5:
        return pick(KEEPING).format(stays, order)
    return pick(CLAUSES).format(clause) if random.random() < 0.5 else pick(ORDERS).format(order)


def ways(changed: str, old: str, new: str, said: str) -> tuple[list[str], list[str]]:
    """A change as clauses ("with a flute instead of the piano") and as orders ("replace the piano by a flute").

    said: one of the phrasings of the new value.
    """
    if changed == "tempo":
        far = abs(TEMPI.index(old) - TEMPI.index(new)) > 1
        pace = "faster" if TEMPI.index(new) > TEMPI.index(old) else "slower"
        clauses = [f"much {pace}"] if far else [f"a little {pace}", f"somewhat {pace}"]
        return [*clauses, said], [f"make it {clauses[-1]}", f"make it {said}"]
    if changed in ("lead", "backing"):
        a_new = new if new in WITHOUT_ARTICLE else article(new)
        return [f"with {a_new} instead of the {old}"], [f"replace the {old} by {a_new}", f"swap the {old} for {a_new}"]
    if changed in ("mode", "metre"):
        return [said], [f"put it {said}", f"play it {said}"]
    if old == "none":
        return [f"with {said}"], [f"add {said}"]
    if new == "none":
        return [f"without the {changed}", f"with no {changed}"], [
            f"leave out the {changed}",
            f"take the {changed} away",
        ]
    return [f"with {said} instead of {phrase(changed, old)}", f"with {said}"], [f"give it {said}"]
