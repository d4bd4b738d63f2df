"""What a search avoids: negatives with weights, and the phrasings that a short word stands for.

A model steers by what captions say, and hardly any caption says "drums" alone. `expand` replaces a short word by the
phrases of the collection's captions and tags that contain it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from diffgar.search.errors import SearchError
from diffgar.search.where import Part, read_part
from diffgar.values import is_number

OURS = ("row_id", "track_id", "path", "split", "artist", "start_s", "end_s")  # columns of a store that are no tags
HEAVIEST = 100  # the most that a negative may weigh
MOST = 8  # phrasings of a word
SHORT = 2  # words; a longer negative says what it means
BREAKS = re.compile(r"[,.;:!?()]|\b(?:with|and|featuring|features|in|on the|over|by|for|plus)\b")
ABSENT = re.compile(r"\b(?:no|without|lacks|lacking)\b")
LINKS = ("a", "an", "the", "of", "on", "in", "at", "to", "from", "every")  # they say nothing of a word's kind
ARTICLES = re.compile(r"^(?:a|an|the|this|some|its)\s+")


@dataclass(frozen=True)
class Negative:
    """Something to avoid: as it was typed, how much it counts (1 is usual), and the phrasings it is steered by.

    part: where it is to be avoided, "start", "end" or the number of a part from 1; by default everywhere.
    """

    typed: str
    weight: float = 1.0
    phrasings: tuple[str, ...] = ()
    part: Part | None = None

    def describe(self) -> dict[str, Any]:
        """As `Hits.asked` has it."""
        told = {"typed": self.typed, "weight": self.weight, "phrasings": list(self.captions)}
        return told if self.part is None else told | {"part": self.part}

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions that say it, the first being what guidance steers away from."""
        return self.phrasings or (self.typed,)


Asked = str | Negative | Sequence[str | Negative] | Mapping[str, float] | None  # what may be given as a negative


def read_negatives(asked: Asked) -> list[Negative]:
    """One negative, several, or several with weights, as `Negative`.

    "drums", ["drums", "vocals"] and {"drums": 1, "vocals": 0.5} are all right, and so is
    Negative("drums", phrasings=("rock drums", "jazz drums")). Words may say where: "drums at the start" is
    Negative("drums", part="start"), see `read_part`; a `Negative` is taken as it is. Raises SearchError for anything
    else.
    """
    if asked is None:
        return []
    if isinstance(asked, Mapping):
        return [negative_of(typed, weight) for typed, weight in asked.items()]
    several = [asked] if isinstance(asked, str | Negative) else asked
    return [checked(each) if isinstance(each, Negative) else negative_of(each) for each in several]


def negative_of(typed: str, weight: float = 1.0) -> Negative:
    """The negative that words say. Raises SearchError for what are no words, and for an invalid weight."""
    found = checked(Negative(typed, weight))
    words, part = read_part(found.typed)
    return replace(found, typed=words, part=part)


def checked(negative: Negative) -> Negative:
    """A negative with its words and weight as they are used. Raises SearchError for an empty or invalid one."""
    typed, weight = negative.typed, negative.weight
    if not isinstance(typed, str) or not typed.strip():
        raise SearchError(f"a negative is {typed!r}; say what to avoid: negative='drums'")
    if not is_number(weight) or not 0 < weight <= HEAVIEST:
        raise SearchError(
            f"negative {typed!r} weighs {weight!r}; give it a number above 0, 1 being usual and {HEAVIEST} the most"
        )
    return replace(negative, typed=typed.strip(), weight=float(weight))


class Phrasebook:
    """What a collection calls things: the phrases of its captions, and the values of its tags.

    phrases: how often each is said, as `count_phrases` counts them. tags: column → its values, such as
    {"drums": ["rock", "jazz"]}: the values of a column of that very name are phrasings of it, "rock drums".
    """

    def __init__(self, phrases: Mapping[str, int], tags: Mapping[str, Sequence[str]] | None = None):
        self.phrases, self.tags = dict(phrases), dict(tags or {})

    def expand(self, typed: str) -> tuple[str, ...]:
        """The phrasings of a short negative, the most usual first; none if it is long enough, or no phrase contains it.

        "drums" becomes ("rock drums, jazz drums, …", "rock drums", "jazz drums", …): all of them in one caption, then
        each.
        """
        return self.spelt_out(typed) if self.is_general(typed) else ()

    def is_general(self, typed: str) -> bool:
        """Whether a short word stands for several kinds: a tag has its name, or captions mostly say which kind.

        Of "jazz drums", "rock drums" and "drum machine" two of three say which drums. "sad song" and "strings in the
        background" mean the word itself: spelt out they avoid no more, and the right track is lost more often.
        """
        stems, holding = stems_of(typed), self.holding(typed)
        kinds = [phrase for phrase in holding if is_qualified(stems, phrase)]
        mostly = sum(holding[phrase] for phrase in kinds) > sum(holding.values()) / 2
        return bool(self._tags(stems)) or (len(kinds) > 1 and mostly)

    def spelt_out(self, typed: str) -> tuple[str, ...]:
        """The phrasings of a short word, whether it needs them or not: all in one caption, then each, the usual first.

        None where no tag and no caption has it.
        """
        stems, holding = stems_of(typed), self.holding(typed)
        usual = sorted(holding, key=lambda phrase: (-holding[phrase], phrase))
        tagged = [value if stems[-1] in stems_of(value) else f"{value} {typed}" for value in self._tags(stems)]
        found = list(dict.fromkeys([*tagged, *usual]))[:MOST]
        return (", ".join(found), *found) if found else ()

    def holding(self, typed: str) -> dict[str, int]:
        """The phrases that hold a short negative, and how often each is said; none for a long one."""
        stems = stems_of(typed)
        if not 0 < len(stems) <= SHORT:
            return {}
        return {phrase: count for phrase, count in self.phrases.items() if is_part(stems, stems_of(phrase))}

    def _tags(self, stems: list[str]) -> list[str]:
        return [v for name, values in self.tags.items() if [stem(name)] == stems for v in values if v != "none"]


def count_phrases(captions: Iterable[str]) -> Counter[str]:
    """How often captions say each of their phrases."""
    return Counter(phrase for caption in captions for phrase in phrases_of(caption))


def usual(phrases: Mapping[str, int], most: int = 5000, least: int = 2) -> dict[str, int]:
    """The `most` usual of the phrases that occur `least` times or more: those that a published model reveals.

    A phrase that occurs once may be a whole training caption, which others should not be able to read.
    """
    shared = [(phrase, count) for phrase, count in phrases.items() if count >= least]
    return dict(sorted(shared, key=lambda item: (-item[1], item[0]))[:most])


def phrases_of(caption: str) -> list[str]:
    """The phrases of a caption that say what is there.

    "A slow piece with jazz drums, no bass." has "slow piece" and "jazz drums".
    """
    parts = (ARTICLES.sub("", part.strip()) for part in BREAKS.split(caption.lower()) if not ABSENT.search(part))
    return [" ".join(part.split()) for part in parts if part]


def tags_of(tracks: pd.DataFrame, most: int = 50) -> dict[str, list[str]]:
    """The columns of a table of tracks that are tags: those of text with 2 to `most` values; the usual values first."""
    tags = {}
    for name, column in tracks.items():
        texts = column.dropna()
        if name in OURS or str(name).startswith("_") or not texts.map(lambda value: isinstance(value, str)).all():
            continue
        if 1 < texts.nunique() <= most:
            tags[str(name)] = list(texts.value_counts().index)
    return tags


def stem(word: str) -> str:
    """A word without its plural s: drums and drum are one."""
    word = word.lower().strip("'\"-")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def stems_of(words: str) -> list[str]:
    """The stem of each word."""
    return [stem(word) for word in words.lower().split()]


def is_part(part: list[str], whole: list[str]) -> bool:
    """Whether the words of one stand in the other, one after the other."""
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


def is_qualified(part: list[str], phrase: str) -> bool:
    """Whether the word before these in a phrase says of what kind they are: drums in "rock drums"."""
    whole = stems_of(phrase)
    starts = range(1, len(whole) - len(part) + 1)
    return any(whole[i : i + len(part)] == part and whole[i - 1] not in LINKS for i in starts)
