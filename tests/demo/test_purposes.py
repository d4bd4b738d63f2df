"""The purposes of the demo's music: true, told apart by their words, and new to the encoder."""

from itertools import combinations

import pandas as pd
import pytest

from diffgar.demo import collection as demo
from diffgar.demo import purposes
from diffgar.demo.attributes import ATTRIBUTES, DEMO
from diffgar.demo.encoder import WEIGHTS, read_vocabulary, split_words
from diffgar.demo.purposes import ALSO, PURPOSES, purpose_rows, write_purposes

SMALL_WORDS = {"a", "an", "and", "at", "by", "before", "in", "of", "on", "over", "so", "the", "to", "about"}
FAMILIES = {
    "struck": {"piano", "vibraphone", "marimba", "music box"},
    "plucked": {"acoustic guitar", "electric guitar", "distorted guitar", "sitar"},
    "bowed": {"violin", "cello"},
    "blown": {"trumpet", "saxophone", "flute", "clarinet", "harmonica"},
    "electronic": {"synthesizer"},
}


def tracks(count: int = 200, **columns) -> pd.DataFrame:
    """The table of a collection without its audio."""
    rows = []
    for number in range(count):
        split = ("train", "test")[number % 2]
        attributes = {name: values[number % len(values)] for name, values in ATTRIBUTES.items()}
        rows.append({"track_id": f"{split}-{number}", "path": f"{number}.flac", "split": split} | attributes | columns)
    return pd.DataFrame(rows)


def content(purpose: str) -> set[str]:
    """The words that only this purpose should have."""
    return {word for words in PURPOSES[purpose].words for word in split_words(words)} - SMALL_WORDS


def test_twelve_purposes_of_three_unlike_leads_each_and_every_lead_has_a_purpose():
    family = {lead: name for name, leads in FAMILIES.items() for lead in leads}
    assert set(family) == set(DEMO.leads)
    assert len(PURPOSES) == 12
    for purpose in PURPOSES.values():
        assert len({family[lead] for lead in purpose.leads}) == 3, purpose
    for one, other in combinations(PURPOSES.values(), 2):
        assert len(set(one.leads) & set(other.leads)) < 2, (one, other)
    counts = pd.Series([lead for purpose in PURPOSES.values() for lead in purpose.leads]).value_counts()
    assert set(counts.index) == set(DEMO.leads) and set(counts) == {2, 3}


def test_no_two_purposes_share_a_word_and_the_encoder_knows_none():
    for one, other in combinations(PURPOSES, 2):
        assert not content(one) & content(other)
    known = set(read_vocabulary(WEIGHTS))
    for purpose in PURPOSES:
        assert not content(purpose) & known, purpose
        assert len(set(PURPOSES[purpose].words)) >= 5


def test_a_caption_names_its_purpose_and_no_other_and_its_track_answers_it():
    rows = purpose_rows(tracks())
    assert len(rows) == 600 and rows["caption_id"].is_unique and set(rows["purpose"]) == set(PURPOSES)
    for row in rows.itertuples():
        assert [name for name in PURPOSES if content(name) & set(split_words(row.caption))] == [row.purpose], row
        assert row.lead in PURPOSES[row.purpose].leads
        assert row.lead not in row.caption.split(", ")[0]  # behind it, an electric piano may be the backing


def test_half_of_the_captions_name_one_thing_more_and_it_is_true():
    rows = purpose_rows(tracks())
    assert 0.4 < (rows["named"] != "").mean() < 0.6
    assert set(rows["named"]) == {"", *ALSO}
    for row in rows[rows["named"] != ""].itertuples():
        endings = demo.phrasings(row.named, getattr(row, row.named))
        assert any(row.caption.endswith(f", {words}") for words in endings), row


def test_a_tracks_captions_depend_on_the_track_alone():
    whole, part = purpose_rows(tracks()), purpose_rows(tracks().iloc[50:60])
    same = whole[whole["track_id"].isin(part["track_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, same)
    pd.testing.assert_frame_equal(whole, purpose_rows(pd.concat([tracks(), tracks()])))  # a row per caption, as on disk


def test_what_changes_within_a_track_is_not_named():
    assert purpose_rows(tracks(changes="lead")).empty
    assert set(purpose_rows(tracks(changes="drums"))["named"]) == {"", "tempo", "backing"}


def test_the_table_lies_beside_the_demos_and_shares_its_audio(tmp_path):
    folder = tmp_path / "demo"
    sizes = {"num_train": 2, "num_validation": 1, "num_test": 1, "num_workers": 0}
    table = write_purposes(folder, **sizes)
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    truth = pd.read_csv(folder / "captions.csv", dtype=str).drop_duplicates("track_id").set_index("track_id")
    assert (
        table == folder / "purposes.csv"
        and len(rows) == (truth["changes"] != "lead").sum() * purposes.CAPTIONS_PER_TRACK
    )
    assert all((folder / path).is_file() for path in rows["path"])
    assert (rows["lead"].to_numpy() == truth.loc[rows["track_id"], "lead"].to_numpy()).all()
    written = table.stat().st_mtime_ns
    write_purposes(folder, **sizes)
    assert table.stat().st_mtime_ns == written
    demo.write_collection(folder, **sizes)  # is not disturbed by the second table
    table.write_text("spoiled", encoding="utf-8")
    pd.testing.assert_frame_equal(pd.read_csv(write_purposes(folder, **sizes), dtype=str, keep_default_na=False), rows)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_purpose_is_asked_for_in_many_ways(purpose):
    rows = purpose_rows(tracks(600))
    plain = rows[(rows["purpose"] == purpose) & (rows["named"] == "")]
    assert plain["caption"].nunique() >= 15
