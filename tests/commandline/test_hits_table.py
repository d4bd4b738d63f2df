"""The table of hits fits its width, and shows nothing that a terminal would take for a command."""

import pytest
import torch
from rich.cells import cell_len

from diffgar.commandline.hits_table import clock, cut_middle, expansions, printable, table_of
from diffgar.search.hits import Hit, Hits
from diffgar.search.parts import Parts


def hits_of(*tracks, caption="calm"):
    return Hits(
        tuple(Hit(n, 100 / n, track, track, 61.0 * n, caption, 0.5, 0.5, n) for n, track in enumerate(tracks, 1)),
        torch.zeros(2),
        {"negatives": []},
    )


def test_what_a_negative_stands_for_and_where_it_counts_is_told():
    negatives = [
        {"typed": "drums", "phrasings": ["rock drums, jazz drums", "rock drums", "jazz drums"], "part": 1},
        {"typed": "a choir", "phrasings": ["a choir"], "part": 2},
        {"typed": "a loud harp", "phrasings": ["a loud harp"]},
        {"typed": "bass", "phrasings": ["slap bass, bass", "slap bass", "bass"]},
    ]
    assert expansions(Hits((), torch.zeros(4), {"negatives": negatives}, Parts(2))) == [
        "drums, in part 1 of 2: rock drums, jazz drums",
        "a choir, in part 2 of 2: a choir",
        "bass: slap bass, bass",
    ]


def test_a_row_has_rank_percentile_track_moment_and_caption():
    header, first, second = table_of(hits_of("a.mp3", "long name.mp3"), 100)
    assert header.split() == ["rank", "percentile", "track", "at", "caption"]
    assert first.split() == ["1", "100.00", "a.mp3", "1:01", "calm"]
    assert second.split("  ")[-1] == "calm" and header.index("caption") == second.index("calm")


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("caption", ["a calm piece " * 30, None])
@pytest.mark.parametrize("name", ["Johann Sebastian Bach/The Goldberg Variations " * 3 + "aria.mp3", "音楽" * 60])
def test_no_line_is_wider_than_the_table(width, caption, name):
    lines = table_of(hits_of("a.mp3", name, caption=caption), width)
    assert max(map(cell_len, lines)) <= width
    assert "…" in lines[2]


def test_without_captions_names_have_the_room_and_the_header_says_nothing_of_them():
    name = "a folder/" * 8
    header, row = table_of(hits_of(name, caption=None), 100)
    assert name in row and "caption" not in header


def test_a_long_name_keeps_its_beginning_and_its_suffix():
    assert cut_middle("Bach, Goldberg Variations, Aria.mp3", 17) == "Bach, Go…Aria.mp3"
    assert cut_middle("Aria.mp3", 8) == "Aria.mp3"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (5.9, "0:05"), (65, "1:05"), (3665, "1:01:05"), (36000, "10:00:00")]
)
def test_a_moment_is_shown_as_players_show_it(seconds, shown):
    assert clock(seconds) == shown


def test_what_would_move_a_cursor_is_not_printed():
    assert printable("a\x1b[31m\nb\udcff\tc") == "a�[31m b� c"


def test_only_what_was_spelt_out_is_told():
    asked = [
        {"typed": "drums", "weight": 1.0, "phrasings": ["rock drums, jazz drums", "rock drums", "jazz drums"]},
        {"typed": "a loud choir", "weight": 1.0, "phrasings": ["a loud choir"]},
    ]
    assert expansions(Hits((), torch.zeros(2), {"negatives": asked})) == ["drums: rock drums, jazz drums"]
