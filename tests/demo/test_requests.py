"""The demo's composed requests: true, varied, and about one attribute each."""

import numpy as np
import pandas as pd
import pytest

from diffgar.dataloading.datasets.triples import TRIPLE
from diffgar.demo.attributes import draw_attributes
from diffgar.demo.instructions import instruction
from diffgar.demo.requests import ATTRIBUTES, requests


@pytest.fixture(scope="module")
def tracks() -> pd.DataFrame:
    """The rows of a store of 150 tracks, two thirds of them test tracks; every tenth has a lead that changes."""
    random = np.random.default_rng(0)
    rows = [draw_attributes(random) for _ in range(150)]
    table = pd.DataFrame(rows).assign(split=["test", "train", "test"] * 50)
    ids = [f"{split}-{number}" for number, split in enumerate(table["split"])]
    return table.assign(row_id=ids, track_id=ids, changes=["lead", *[""] * 9] * 15)


def test_a_target_has_another_value_of_what_changes_and_the_sources_values_of_what_stays(tracks):
    found, values = requests(tracks, per_track=2), tracks.set_index("row_id")
    assert list(found.columns) == [*TRIPLE] and len(found) > 150
    for row in found.itertuples():
        source, target = values.loc[row.source_clip_id], values.loc[row.target_clip_id]
        assert row.source_clip_id != row.target_clip_id
        assert source["split"] == target["split"] == row.split
        assert source[row.primary_axis] != target[row.primary_axis]
        assert 2 <= len(row.preservation_axes) <= 3 and row.primary_axis not in row.preservation_axes
        assert all(source[name] == target[name] for name in row.preservation_axes)
        assert {row.primary_axis, *row.preservation_axes} <= set(ATTRIBUTES)


def test_the_target_agrees_in_the_most_attributes_among_all_that_answer(tracks):
    values = tracks.set_index("row_id")
    for row in requests(tracks).itertuples():
        source, own = values.loc[row.source_clip_id], values[values["split"] == row.split]
        right = own[row.primary_axis] == values.loc[row.target_clip_id, row.primary_axis]
        for name in row.preservation_axes:
            right &= own[name] == source[name]
        agreement = (own.loc[right, ATTRIBUTES] == source[ATTRIBUTES]).sum(axis=1)
        assert agreement[row.target_clip_id] == agreement.max()


def test_no_request_is_about_what_changes_within_its_source(tracks):
    found = requests(tracks, per_track=2)
    changing = set(tracks.loc[tracks["changes"] == "lead", "row_id"])
    of_these = found[found["source_clip_id"].isin(changing)]
    assert len(of_these) and "lead" in set(found["primary_axis"])
    assert not any("lead" in (row.primary_axis, *row.preservation_axes) for row in of_these.itertuples())


def test_the_same_tracks_give_the_same_requests_and_more_of_them_begin_alike(tracks):
    one, again, two = requests(tracks), requests(tracks), requests(tracks, per_track=2)
    pd.testing.assert_frame_equal(one, again)
    first = two.drop_duplicates("source_clip_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(one, first)


def test_tracks_that_leave_no_split_have_no_requests(tracks):
    assert requests(tracks.assign(split="")).empty


SOURCE = {"lead": "piano", "backing": "harp", "bass": "none", "drums": "rock", "tempo": "fast", "mode": "major"}


def said(changed: str, value: str, kept=("lead", "bass"), times: int = 300) -> set[str]:
    random = np.random.default_rng(0)
    return {instruction(changed, SOURCE, value, kept, random) for _ in range(times)}


@pytest.mark.parametrize(
    ("changed", "value", "some", "word"),
    [
        ("lead", "flute", "replace the piano by a flute", "flute"),
        ("lead", "flute", "the same, but with a flute instead of the piano", "flute"),
        ("tempo", "slow", "the same, but much slower", "slow"),
        ("tempo", "medium", "the same, but a little slower", ""),
        ("drums", "none", "this track, but without the drums", "drums"),
        ("bass", "synth bass", "keep the lead instrument, but add synth bass", "bass"),
        ("backing", "strings", "swap the harp for strings", "strings"),
        ("mode", "minor", "like this, only in a minor key", "minor"),
    ],
)
def test_an_instruction_says_the_change_in_varied_words(changed, value, some, word):
    found = said(changed, value)
    assert some in found and len(found) > 4
    assert all(word in each or (changed, value) == ("tempo", "slow") for each in found)


def test_about_half_of_the_instructions_name_what_stays_but_never_a_part_that_the_source_has_not():
    random = np.random.default_rng(1)
    found = [instruction("tempo", SOURCE, "slow", ["lead", "bass"], random) for _ in range(400)]
    assert 150 < sum("keep the lead instrument" in each for each in found) < 250
    assert not any("bass" in each for each in found)
    assert not any("keep" in instruction("tempo", SOURCE, "slow", ["bass"], random) for _ in range(50))
