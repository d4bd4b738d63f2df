"""Edits of hand-made tracks: which are asked for, and what is counted as gained and kept."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from pools import Captions, Latents, Oracle, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.control.editor import Editor
from diffgar.evaluation.control.edits import Edits, choose_edits, edit_metrics


@pytest.fixture
def attributes():
    """24 tracks: the first half has rock drums, every other one a flute."""
    return pd.DataFrame({"drums": ["rock"] * 12 + ["none"] * 11 + ["jazz"], "lead": ["flute", "harp"] * 12})


def test_an_edit_changes_one_named_attribute_to_another_value_that_there_is(attributes):
    named = [{"drums", "lead"}, {"drums", "lead"}, set(), {"lead"}, {"drums", "lead"}]
    edits = choose_edits(named, torch.tensor([0, 0, 5, 6, 7]), attributes, max_pairs=10)
    assert edits.tracks.tolist() == [0, 7]  # one a track, and none for a caption that names nothing to keep
    assert edits.source == [{"drums": "rock", "lead": "flute"}, {"drums": "rock", "lead": "harp"}]
    for source, target, changed in zip(edits.source, edits.target, edits.changed, strict=True):
        assert {name for name in source if source[name] != target[name]} == {changed}
        assert target[changed] in set(attributes[changed]) - {"none"}
    assert edits.replaced() == [{edits.changed[i]: edits.source[i][edits.changed[i]]} for i in range(2)]
    assert choose_edits(named, torch.tensor([0, 0, 5, 6, 7]), attributes, max_pairs=1).tracks.tolist() == [0]


def test_gained_and_kept_count_the_top_10_without_the_track_itself(attributes):
    """The query lies at track 8; the ten nearest others are 3 to 7 and 9 to 13, of which 12 and 13 have no drums."""
    angle = torch.arange(24) * 0.1
    index = torch.stack([angle.cos(), angle.sin()], dim=1)
    asked = Edits(np.array([8]), [{"drums": "rock", "lead": "harp"}], [{"lead": "flute"}], ["lead"])
    start = torch.stack([(angle[8] + 0.5).cos(), (angle[8] + 0.5).sin()])[None]
    values = edit_metrics(index[8:9].unsqueeze(0), start, index, asked, attributes)
    assert values["gained@10"].mean == 40  # 4, 6, 10 and 12 have the flute; so has 8, the track itself
    assert values["kept@10"].mean == 80
    assert values["cos_start"].mean == pytest.approx(100 * math.cos(0.5))


def test_an_editor_takes_a_diffusion_model_alone():
    vectors = torch.randn(4, 8)
    experiment = evaluation(Latents(vectors), Captions([0, 1]), Oracle(vectors, torch.zeros(8)))
    with pytest.raises(InputError, match="inversion needs a diffusion model, and m .gdr. is none"):
        Editor.of_tracks(experiment, experiment.sampler, np.array([0]))
