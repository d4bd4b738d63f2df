"""A negative as a person types it, one word, against the demo's ground truth. Prints JSON.

    python -m benchmarks.short_negatives                       # the test split
    python -m benchmarks.short_negatives --split validation    # where the rule of `Phrasebook.is_general` was chosen

Of captions that do not speak of what the word means: the share of the top 10 that has it, and R@10 of the right tracks
that lack it. plain: without a negative; typed: the word alone; spelt_out: by the collection's phrases, also where a
search would not. A search spells a word out where `general` is true, and else takes it as it is typed.
"""

import argparse
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from diffgar import Retriever
from diffgar.library import Library
from diffgar.search.negatives import Negative, Phrasebook

ANY = "any but none"
GUITARS = ("electric guitar", "distorted guitar", "acoustic guitar")
PIANOS = ("piano", "electric piano")
WORDS: dict[str, dict[str, Any]] = {  # what has it: in one of these columns one of these values
    "drums": {"drums": ANY},
    "percussion": {"drums": ANY},
    "bass": {"bass": ANY},
    "guitar": {"lead": GUITARS},
    "piano": {"lead": PIANOS, "backing": PIANOS},
    "synth": {"lead": ("synthesizer",), "backing": ("synth pad",), "bass": ("synth bass",)},
    "organ": {"backing": ("organ",)},
    "choir": {"backing": ("choir",)},
    "strings": {"backing": ("strings",)},
    "brass": {"backing": ("brass",)},
    "saxophone": {"lead": ("saxophone",)},
    "flute": {"lead": ("flute",)},
    "sad": {"mood": ("melancholic",)},
    "happy": {"mood": ("cheerful",)},
    "dark": {"mood": ("mysterious",)},
    "fast": {"tempo": ("fast",)},
}


@dataclass
class Truth:
    """For one word: captions that are silent on it, the tracks that have it, and which right tracks lack it."""

    captions: pd.DataFrame
    has: np.ndarray

    @classmethod
    def of(cls, word: str, library: Library, captions: pd.DataFrame, most: int) -> "Truth":
        """most: how many captions are asked, drawn at random."""
        has = np.zeros(len(library), dtype=bool)
        for column, values in WORDS[word].items():
            found = library.tracks[column]
            has |= ((found != "none") if values == ANY else found.isin(values)).to_numpy()
        silent = captions[[not set(named.split("|")) & set(WORDS[word]) for named in captions["named"]]]
        return cls(silent.sample(min(most, len(silent)), random_state=0), has)

    def measure(self, library: Library, **asked: Any) -> dict[str, float]:
        """Per cent: the share of the top 10 that has it, and R@10 of the tracks that lack it."""
        hits = library.search(list(self.captions["caption"]), k=10, **asked)
        positions = np.array([[hit.position for hit in several] for several in hits])
        right = np.array([library.positions[track] for track in self.captions["track_id"]])
        found = (positions == right[:, None]).any(axis=1)[~self.has[right]]
        return {"share@10": round(100 * self.has[positions].mean(), 1), "R@10": round(100 * found.mean(), 1)}


def measured(word: str, library: Library, captions: pd.DataFrame, phrasebook: Phrasebook, most: int) -> dict:
    """A word three ways, and what it is spelt out to."""
    truth = Truth.of(word, library, captions, most)
    right = [library.positions[track] for track in truth.captions["track_id"]]
    phrasings = phrasebook.spelt_out(word)
    return {
        "pool": round(100 * truth.has.mean(), 1),
        "captions": len(truth.captions),
        "right_tracks_that_lack_it": int((~truth.has[right]).sum()),
        "plain": truth.measure(library),
        "typed": truth.measure(library, negative=word, expand=False),
        "spelt_out": truth.measure(library, negative=Negative(word, phrasings=phrasings)),
        "general": phrasebook.is_general(word),
        "phrasings": list(phrasings[1:]),
    }


def main() -> None:
    """Measure each word, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/demo")
    parser.add_argument("--captions", default="data/demo/captions.csv")
    parser.add_argument("--split", default="test")
    parser.add_argument("--words", nargs="*", default=list(WORDS), choices=WORDS)
    parser.add_argument("--most", type=int, default=200, help="captions of a word")
    parser.add_argument("--no_tags", action="store_true", help="spell out by the captions alone")
    asked = parser.parse_args()
    whole = Retriever.from_pretrained(asked.model).trained_library()
    library = whole.only(split=asked.split)
    texts = [caption for several in whole.captions.values() for caption in several]
    phrasebook = Phrasebook(texts) if asked.no_tags else library.phrasebook
    table = pd.read_csv(asked.captions)
    table = table[table["split"] == asked.split]
    words = {word: measured(word, library, table, phrasebook, asked.most) for word in asked.words}
    print(json.dumps({"split": asked.split, "tracks": len(library), "tags": not asked.no_tags} | words, indent=1))


if __name__ == "__main__":
    main()
