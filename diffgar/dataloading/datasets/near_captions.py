"""Captions of other splits that training has as well, in the same words or almost, in time linear in their number.

Almost the same: the sets of words have a Jaccard similarity of NEAR or more. Candidates are found by MinHash (Broder
1997), whose values agree with that probability, in BANDS of ROWS values each; every candidate is then compared exactly.
"""

import hashlib
import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

log = logging.getLogger(__name__)

NEAR = 0.8
BANDS, ROWS = 16, 4  # of two captions with similarity .8, one pair in 5,000 agrees in no band
PER_BUCKET = 8  # training captions that are compared in one bucket: the time stays linear where many are alike
BLOCK = 16384  # captions hashed at once
MIXING = np.random.default_rng(0).integers(2**63, size=(2, BANDS * ROWS), dtype=np.uint64) | np.uint64(1)

Words = frozenset[str]


@dataclass(frozen=True)
class Known:
    """The captions of training.

    text_of: words in order, joined → caption. captions: caption and its set of words, each set once. buckets: a band
    and its value → positions in `captions`.
    """

    text_of: Mapping[str, str]
    captions: Sequence[tuple[str, Words]]
    buckets: Mapping[tuple[int, int], Sequence[int]]

    @classmethod
    def of(cls, captions: Sequence[str]) -> "Known":
        """From captions; those without a word are left out."""
        text_of = {key: text for text in captions if (key := " ".join(words_of(text)))}
        sets = {frozenset(key.split()): text for key, text in text_of.items()}
        distinct = [(text, words) for words, text in sets.items()]
        buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, row in enumerate(_bands([words for _, words in distinct])):
            for each in enumerate(row):
                if len(bucket := buckets[each]) < PER_BUCKET:
                    bucket.append(position)
        return cls(text_of, distinct, dict(buckets))

    def same(self, captions: Sequence[str]) -> list[tuple[str, str]]:
        """Those that are a caption of training but for case and signs, each with that caption."""
        keys = [(text, " ".join(words_of(text))) for text in captions]
        return [(text, self.text_of[key]) for text, key in keys if key in self.text_of]

    def near(self, captions: Sequence[str]) -> list[tuple[str, str]]:
        """Those whose set of words is near to a training caption's, but not the same in order, each with that caption.

        Some may be missed: at most PER_BUCKET captions of a bucket are compared.
        """
        keys = [(text, " ".join(words_of(text))) for text in captions]
        texts = [text for text, key in keys if key and key not in self.text_of]
        sets, found = [frozenset(words_of(text)) for text in texts], []
        for text, words, row in zip(texts, sets, _bands(sets), strict=True):
            candidates = dict.fromkeys(position for each in enumerate(row) for position in self.buckets.get(each, ()))
            others = (self.captions[position] for position in candidates)
            other = next((other for other, its in others if len(words & its) >= NEAR * len(words | its)), None)
            found += [] if other is None else [(text, other)]
        return found


def warn_of_near_captions(name: str, captions: pd.DataFrame) -> None:
    """Say of the validation and the test split how many captions training has too, with an example."""
    training = list(captions["caption"][captions["split"] == "train"])
    held_out = {split: list(captions["caption"][captions["split"] == split]) for split in ("validation", "test")}
    if not training or not any(held_out.values()):
        return
    known = Known.of(training)
    for split, asked in held_out.items():
        same, near = known.same(asked), known.near(asked)
        if same or near:
            log.warning(
                "%s: of %d %s captions, training has %d too but for case and signs, and %d or more in almost the same "
                "words, such as %r beside %r; what a model finds for these it may know by heart",
                *(name, len(asked), split, len(same), len(near), *(near or same)[0]),
            )


def words_of(text: str) -> list[str]:
    """The words of a caption in order, in one case and without signs: "A slow, calm song" → a, slow, calm, song."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


def _bands(sets: Sequence[Words]) -> list[list[int]]:
    """A number for each band of each set's MinHash, (n, BANDS): equal where all values of the band are."""
    bands: list[list[int]] = []
    for start in range(0, len(sets), BLOCK):
        block = sets[start : start + BLOCK]
        starts = np.cumsum([0, *map(len, block)])[:-1]
        numbers = np.array([_number(word) for words in block for word in words], dtype=np.uint64)
        hashes = (numbers[:, None] * MIXING[0] + MIXING[1]) >> np.uint64(32)  # (words, BANDS · ROWS)
        least = np.minimum.reduceat(hashes, starts, axis=0).reshape(-1, BANDS, ROWS)
        bands += (least * MIXING[0, :ROWS]).sum(axis=2).tolist()
    return bands


@cache
def _number(word: str) -> int:
    """A number of 64 bits for a word, the same in every run."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
