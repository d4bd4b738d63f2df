"""Edits of hand-made tracks: which are asked for, and what is counted as gained and kept."""

import pandas as pd
import pytest
import torch

from diffgar.evaluation.edits import Edits, choose_edits, edit_metrics


@pytest.fixture
def attributes():
    """24 tracks: the first half has rock drums, every other one a flute."""
    return pd.DataFrame({"drums": ["rock"] * 12 + ["none"] * 11 + ["jazz"], "lead": ["flute", "harp"] * 12})


def test_an_edit_changes_one_named_attribute_to_another_value_that_there_is(attributes):
    named = [{"drums", "lead"}, {"lead"}, set(), {"lead"}]
    edits = choose_edits(named, torch.tensor([0, 0, 5, 7]), attributes, max_pairs=10)
    assert edits.tracks.tolist() == [0, 7]  # one a track, and none for a caption that names nothing
    assert edits.source == [{"drums": "rock", "lead": "flute"}, {"lead": "harp"}]
    for source, target, changed in zip(edits.source, edits.target, edits.changed, strict=True):
        assert {name for name in source if source[name] != target[name]} == {changed}
        assert target[changed] in set(attributes[changed]) - {"none"}
    assert edits.replaced() == [{edits.changed[0]: edits.source[0][edits.changed[0]]}, {"lead": "harp"}]
    assert choose_edits(named, torch.tensor([0, 0, 5, 7]), attributes, max_pairs=1).tracks.tolist() == [0]


def test_gained_and_kept_count_the_top_10_without_the_track_itself(attributes):
    """The query is the track itself; the ten nearest others are tracks 1 to 10."""
    angle = torch.arange(24) * 0.1
    index = torch.stack([angle.cos(), angle.sin()], dim=1)
    asked = Edits(torch.tensor([0]).numpy(), [{"drums": "rock", "lead": "flute"}], [{"lead": "harp"}], ["lead"])
    values = edit_metrics(index[:1].unsqueeze(0), index, asked, attributes)
    assert values["gained@10"]["mean"] == 50  # 1, 3, 5, 7, 9 have the harp
    assert values["kept@10"]["mean"] == 100  # all have rock drums
    assert values["cos_track"]["mean"] == pytest.approx(100)
