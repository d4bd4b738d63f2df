"""What captions say is not there, and what is heard."""

import pytest

from diffgar.demo.captions import negation
from diffgar.negation import hear, say


@pytest.mark.parametrize(
    ("caption", "words", "said"),
    [
        ("A slow piece.", "without drums", "A slow piece, without drums."),
        ("slow, piano", "not in a major key", "slow, piano, not in a major key"),
        ("A song with no bass.", "without lead flute", "A song with no bass, without lead flute."),
    ],
)
def test_a_caption_that_says_a_negation_is_taken_apart_again(caption, words, said):
    assert say(caption, words) == said
    assert hear(said) == (caption, words.partition(" ")[2])


def test_the_last_negation_is_heard_and_none_where_there_is_none():
    assert hear("Piano, but no drums") == ("Piano", "drums")
    assert hear("Notable piano in the north.") == ("Notable piano in the north.", None)


def test_the_demo_says_adjectives_and_keys_as_such():
    assert negation("drums", "rock") == "without rock drums" and negation("tempo", "slow") == "not slow"
    assert negation("mode", "minor") == "not in a minor key"
