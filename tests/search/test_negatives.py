"""What a person types as a negative, and what it stands for."""

import pandas as pd
import pytest

from diffgar.search.edits import Edit, read_edit
from diffgar.search.errors import SearchError
from diffgar.search.negatives import Negative, Phrasebook, count_phrases, phrases_of, read_negatives, tags_of, usual

CAPTIONS = [
    "A slow piece with jazz drums and piano solo.",
    "Jazz drums, no bass.",
    "this track features rock drums, without strings",
    "a drum machine in a calm song",
    "Calm, with strings.",
    "strings and harp",
]


def test_a_caption_has_the_phrases_that_say_what_is_there():
    assert phrases_of("A slow piece with jazz drums and piano solo, no bass.") == [
        "slow piece",
        "jazz drums",
        "piano solo",
    ]
    assert phrases_of("Without drums or bass") == []


def test_a_short_word_stands_for_what_the_captions_call_it_the_most_usual_first():
    expanded = Phrasebook(count_phrases(CAPTIONS)).expand("drums")
    assert expanded[1:] == ("jazz drums", "drum machine", "rock drums")  # twice, then once each, by name
    assert expanded[0] == "jazz drums, drum machine, rock drums"


def test_a_word_that_is_usually_said_just_so_and_a_long_negative_stay_as_they_are():
    book = Phrasebook(count_phrases(CAPTIONS))
    assert book.expand("strings") == ()
    assert book.expand("jazz drums") == () and book.expand("a jazz trio with brushes") == ()
    assert book.expand("trombone") == () and book.expand("") == ()


def test_a_word_that_captions_say_without_its_kind_stays_as_it_is():
    """ "sad song" is sad itself, while "jazz drums" are one kind of drums; one kind alone is not what was meant."""
    captions = ["a sad song", "sad piece with strings", "strings in the background", "bed of strings", "sad"]
    sad = Phrasebook(count_phrases(captions))
    assert sad.expand("sad") == () and sad.expand("strings") == ()
    assert sad.spelt_out("sad")[1:] == ("sad", "sad piece", "sad song")
    assert Phrasebook(count_phrases(["latin percussion", "fast, latin percussion"])).expand("percussion") == ()
    assert Phrasebook(count_phrases(["electric guitar solo", "melody on acoustic guitar"])).is_general("guitars")


def test_the_values_of_a_tag_of_that_name_come_first():
    tags = {"drums": ["rock", "none", "latin"], "mood": ["calm"]}
    assert Phrasebook({}, tags).expand("drum") == ("rock drum, latin drum", "rock drum", "latin drum")
    assert Phrasebook(count_phrases(CAPTIONS), {"bass": ["upright bass"]}).expand("bass")[1] == "upright bass"


def test_tags_are_columns_of_text_with_few_values():
    tracks = pd.DataFrame(
        {
            "row_id": ["a", "b", "c"],
            "path": ["1", "2", "3"],
            "_key": ["x", "y", "z"],
            "drums": ["rock", "rock", "jazz"],
            "bpm": [100.0, 90.0, 80.0],
            "label": ["one", "one", "one"],
        }
    )
    assert tags_of(tracks) == {"drums": ["rock", "jazz"]}
    assert tags_of(tracks, most=1) == {}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, []),
        ("drums", [Negative("drums")]),
        (["drums", " vocals "], [Negative("drums"), Negative("vocals")]),
        ({"drums": 1, "vocals": 0.5}, [Negative("drums"), Negative("vocals", 0.5)]),
    ],
)
def test_a_negative_is_one_several_or_weighted(asked, found):
    assert read_negatives(asked) == found


@pytest.mark.parametrize("asked", ["", ["drums", 3], {"drums": 0}, {"drums": "much"}, {"drums": float("nan")}])
def test_what_is_no_negative_is_told(asked):
    with pytest.raises(SearchError, match="negative"):
        read_negatives(asked)


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        ("the same with strings", "strings", ()),
        ("The same, but with strings and a harp, without drums", "strings and a harp", ("drums",)),
        ("like this but no drums", None, ("drums",)),
        ("without drums and no bass", None, ("drums", "bass")),
        ("faster", "faster", ()),
        ("more like this, but sad", "sad", ()),
        ("thesaurus music", "thesaurus music", ()),
        ("notes of a piano", "notes of a piano", ()),
    ],
)
def test_an_edit_is_taken_apart(typed, wanted, unwanted):
    assert read_edit(typed) == Edit(wanted, unwanted)


def test_the_usual_phrases_are_those_said_twice_the_most_usual_first():
    counted = count_phrases(["Jazz drums, a bass.", "Jazz drums, a secret.", "A bass, jazz drums."])
    assert usual(counted) == {"jazz drums": 3, "bass": 2}
    assert list(usual(counted)) == ["jazz drums", "bass"] and usual(counted, most=1) == {"jazz drums": 3}
