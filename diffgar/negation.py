"""Negations in words: captions that say what is not to be there, and what is heard in them."""

import re
from collections.abc import Callable

Negations = Callable[[str, str], str]  # (attribute, value) → the words that say its absence, "without rock drums"
WITHOUT = re.compile(r"(?:\b(?:but|and)\s+)?\b(?:without|with no|no)\s+", re.IGNORECASE)
NEGATION = re.compile(rf"{WITHOUT.pattern}|\bnot\s+", re.IGNORECASE)


def say(caption: str, negation: str) -> str:
    """A caption with a negation at its end.

    "A slow piece." and "without drums" make "A slow piece, without drums."
    """
    stem = caption.rstrip().removesuffix(".")
    return f"{stem}, {negation}{caption.rstrip()[len(stem) :]}"


def hear(caption: str) -> tuple[str, str | None]:
    """A caption without its last negation, and what that negates; None where it has none.

    "A slow piece, without drums." has "A slow piece." and "drums".
    """
    found = list(NEGATION.finditer(caption))
    if not found:
        return caption, None
    start, end = found[-1].span()
    stem = caption.rstrip().removesuffix(".")
    return caption[:start].rstrip(" ,;") + caption.rstrip()[len(stem) :], stem[end:].strip(" ,;")
