"""Captions of other splits that training has as well, in the same words or almost: found in time linear in their number.

Almost the same: the sets of words have a Jaccard similarity of NEAR or more. Candidates are found by MinHash (Broder
1997), whose values agree with that probability, in BANDS of ROWS values each; every candidate is then compared exactly.
"""

import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

log = logging.getLogger(__name__)

NEAR = 0.8
BANDS, ROWS = 16, 4  # of two captions with similarity .8, one pair in 5,000 agrees in no band
PER_BUCKET = 8  # training captions that are compared in one bucket: the time stays linear where many are alike
BLOCK = 65536  # captions hashed at once


@dataclass(frozen=True)
class Overlap:
    """How many of a split's captions training has too: `same` but for case and signs, `near` in almost its words.

    examples: (caption, the training's caption), first of those that are near. near is a lower bound: at most PER_BUCKET
    training captions of a bucket are compared.
    """

    total: int
    same: int
    near: int
    examples: tuple[tuple[str, str], ...]


def warn_of_near_captions(name: str, captions: pd.DataFrame) -> None:
    """Say, for the validation and the test split, how many captions training has too, with an example of each kind."""
    training = list(captions["caption"][captions["split"] == "train"])
    for split in ("validation", "test"):
        asked = list(captions["caption"][captions["split"] == split])
        if not (training and asked):
            continue
        found = overlap(training, asked)
        if found.same or found.near:
            told = "; ".join(f"{own!r} and {theirs!r}" for own, theirs in found.examples[:2])
            log.warning(
                "%s: of %d %s captions, %d are captions of training too but for case and signs, and at least %d more "
                "have almost the words of one (e.g. %s); a model may know their answers by heart",
                *(name, found.total, split, found.same, found.near, told),
            )


def overlap(training: Sequence[str], asked: Sequence[str]) -> Overlap:
    """Which of the captions that are asked training has too."""
    ours, theirs = [words_of(text) for text in asked], [words_of(text) for text in training]
    text_of = {" ".join(words): text for words, text in zip(theirs, training, strict=True)}
    same = [text for text, words in zip(asked, ours, strict=True) if " ".join(words) in text_of]
    others = [(text, frozenset(words)) for text, words in zip(asked, ours, strict=True) if " ".join(words) not in text_of]
    near = [] if not others else list(_near(others, [(text, frozenset(words)) for words, text in zip(theirs, training, strict=True)]))
    examples = (*near[:1], *((text, text_of[" ".join(words_of(text))]) for text in same[:1]))
    return Overlap(len(asked), len(same), len(near), examples)


def words_of(text: str) -> list[str]:
    """The words of a caption in order, in one case and without signs: "A slow, calm song" → a, slow, calm, song."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


Worded = tuple[str, frozenset[str]]  # a caption, and the set of its words


def _near(asked: Sequence[Worded], training: Iterable[Worded]) -> Iterator[tuple[str, str]]:
    """Each caption that is near to one of training, with the first such."""
    distinct = list({words: (text, words) for text, words in training if words}.values())
    asked = [each for each in asked if each[1]]
    bands = _bands([words for _, words in (*distinct, *asked)])  # (n, BANDS)
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, row in enumerate(bands[: len(distinct)].tolist()):
        for band, value in enumerate(row):
            if len(bucket := buckets[band, value]) < PER_BUCKET:
                bucket.append(place)
    for (text, words), row in zip(asked, bands[len(distinct) :].tolist(), strict=True):
        candidates = dict.fromkeys(place for each in enumerate(row) for place in buckets.get(each, ()))
        for other, theirs in (distinct[place] for place in candidates):
            if len(words & theirs) >= NEAR * len(words | theirs):
                yield text, other
                break


def _bands(sets: Sequence[frozenset[str]]) -> np.ndarray:
    """A number for each band of each set's MinHash, (n, BANDS): equal where all values of the band are."""
    number_of: dict[str, int] = {}
    tokens = [[number_of.setdefault(word, len(number_of)) for word in sorted(words)] for words in sets]
    rng = np.random.default_rng(0)
    hashes = rng.integers(2**32, size=(len(number_of), BANDS * ROWS), dtype=np.uint64)  # of each word
    mixing = rng.integers(2**63, size=(BANDS, ROWS), dtype=np.uint64) | np.uint64(1)
    bands = np.empty((len(sets), BANDS), dtype=np.uint64)
    for start in range(0, len(sets), BLOCK):
        block = tokens[start : start + BLOCK]
        starts = np.cumsum([0, *map(len, block)])[:-1]
        least = np.minimum.reduceat(hashes[np.concatenate(block)], starts, axis=0)  # (n, BANDS * ROWS)
        bands[start : start + len(block)] = (least.reshape(-1, BANDS, ROWS) * mixing).sum(axis=2)
    return bands
