"""Captions that a held-out split shares with training: found without comparing every pair."""

import random
from itertools import product

import pandas as pd

from diffgar.dataloading.datasets.near_captions import NEAR, Known, warn_of_near_captions, words_of


def test_case_and_signs_do_not_tell_captions_apart():
    known = Known.of(["A slow, calm song!", "Drums.", "..."])
    assert known.same(["a SLOW calm song", "a calm slow song", "...", "drums"]) == [
        ("a SLOW calm song", "A slow, calm song!"),
        ("drums", "Drums."),
    ]
    assert known.near(["a SLOW calm song", "a calm slow song", "..."]) == [("a calm slow song", "A slow, calm song!")]


def test_near_captions_are_those_of_an_exact_comparison_of_all_pairs():
    draw = random.Random(0)
    vocabulary = [f"w{number}" for number in range(60)]
    training = [" ".join(draw.sample(vocabulary, 9)) for _ in range(400)]
    changed = [words.split()[:8] + draw.sample(vocabulary, draw.choice([1, 3])) for words in training[:200]]
    asked = [" ".join(words) for words in changed] + [" ".join(draw.sample(vocabulary, 9)) for _ in range(200)]

    def similarity(one: str, other: str) -> float:
        first, second = set(words_of(one)), set(words_of(other))
        return len(first & second) / len(first | second)

    expected = {one for one, other in product(asked, training) if similarity(one, other) >= NEAR} - set(training)
    found = Known.of(training).near(asked)
    assert {one for one, _ in found} == expected and 50 < len(expected) < 250
    assert all(similarity(*pair) >= NEAR for pair in found)


def test_the_counts_and_an_example_are_said_for_each_held_out_split(caplog):
    captions = [("train", "a slow calm piano piece"), ("test", "A slow, calm piano piece."), ("test", "loud drums")]
    captions += [("validation", "a slow calm piano piece again"), ("other", "a slow calm piano piece")]
    warn_of_near_captions("some", pd.DataFrame(captions, columns=["split", "caption"]))
    assert "some: of 2 test captions, training has 1 too but for case and signs, and 0 or more in" in caplog.text
    assert "of 1 validation captions, training has 0 too" in caplog.text and "'other'" not in caplog.text
    assert "'a slow calm piano piece again' beside 'a slow calm piano piece'" in caplog.text


def test_nothing_is_said_where_nothing_is_shared(caplog):
    table = pd.DataFrame([("train", "a slow piece"), ("test", "loud drums")], columns=["split", "caption"])
    warn_of_near_captions("some", table)
    warn_of_near_captions("some", table[table["split"] == "test"])
    assert not caplog.text
