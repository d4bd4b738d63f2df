"""Fewer than ten tracks, down to one: what can be measured is, and the rest is refused in a sentence."""

import numpy as np
import pandas as pd
import pytest
import torch
from pools import Captions, Latents, Oracle, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.control.answers import Answer, dropping, hinge_penalty
from diffgar.evaluation.control.edits import Edits, choose_edits, edit_metrics
from diffgar.evaluation.control.inversion import InversionEditing
from diffgar.evaluation.control.measures import evaluate_control
from diffgar.evaluation.control.negative import NegativeSteering
from diffgar.evaluation.control.pairs import Pairs, choose_pairs
from diffgar.evaluation.fidelity import require_tracks
from diffgar.evaluation.metrics.ranks import top_k, unit_rows
from diffgar.evaluation.report import CHANCE, PLAIN, System
from diffgar.evaluation.reports.figures import rank_figure, recall_figure
from diffgar.evaluation.reports.worst import worst_captions
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import attribute_metrics, make_systems

GDR, DROP, PENALTY = System("gdr"), System("drop"), System("penalty")
QUICK = RetrievalOptions(num_resamples=5)


@pytest.mark.parametrize("size", [1, 2, 6, 9])
def test_a_pool_of_any_size_is_ranked_listed_and_drawn(tmp_path, size):
    vectors = torch.randn(size, 4, generator=torch.Generator().manual_seed(0))
    audio = Latents(vectors, mood=["calm", "tense"] * (size // 2) + ["calm"] * (size % 2))
    experiment = evaluation(audio, Captions(list(range(size)), named="mood"), Oracle(vectors, torch.zeros(4), 0.0))
    systems = make_systems([experiment], [0, 1])
    report = evaluate_retrieval(systems.queries, systems.index, experiment.task, QUICK)
    assert report.rows[GDR]["R@1"].mean == 100
    assert report.rows[CHANCE]["R@10"].mean == pytest.approx(100)
    found = attribute_metrics(experiment, systems, ["mood"])[GDR]["attribute_precision@10"].mean
    assert found == pytest.approx(100 * np.mean([(audio.rows["mood"] == mood).mean() for mood in audio.rows["mood"]]))
    nearest = top_k(systems.queries[GDR][0], systems.index[GDR])[1]
    assert len(worst_captions(report.queries, experiment.task, nearest)) == size
    for figure in (recall_figure, rank_figure):
        assert all(path.is_file() for path in figure(tmp_path / "figure", report.queries, size))


@pytest.mark.parametrize("size", [2, 3, 9])
def test_what_steering_does_to_a_pool_below_ten_is_told_of_all_of_it(size):
    index = unit_rows(torch.randn(size, 4, generator=torch.Generator().manual_seed(0)), "index")
    has = torch.arange(size) % 2 == 0
    unwanted = Pairs(torch.tensor([0]), [("drums", "rock")], has[None], torch.tensor([0]))
    plain = index[1][None, None]
    answers = [(PLAIN, Answer(plain)), (DROP, Answer(plain, [dropping(has[None])]))]
    answers.append((PENALTY, Answer(plain, [hinge_penalty(plain[0], index[:1], index, 1.0)])))
    table = evaluate_control(answers, index, torch.tensor([1]), unwanted)
    assert table[PLAIN]["share@10"].mean == pytest.approx(100 * float(has.float().mean()))
    assert table[PLAIN]["R@10"].mean == table[DROP]["R@10"].mean == 100


def test_a_penalty_in_a_pool_of_one_or_of_equals_is_none():
    query = unit_rows(torch.randn(1, 4), "query")
    assert hinge_penalty(query, query, query, 1.0).tolist() == [[0]]
    assert hinge_penalty(query, -query, query.expand(3, -1), 1.0).abs().max() < 1e-4


def test_negatives_need_a_pool_in_which_the_top_ten_is_not_all_of_it():
    attributes = pd.DataFrame({"drums": ["rock", "none", "rock"]})
    with pytest.raises(InputError, match="more often than the pool of 3 tracks; evaluate on a larger pool"):
        choose_pairs(torch.tensor([[0, 1, 2]]), torch.tensor([1]), [set()], attributes)


@pytest.mark.parametrize("size", [1, 4])
def test_negative_steering_on_a_small_pool_is_refused_in_a_sentence(size):
    vectors = torch.randn(size, 4)
    audio = Latents(vectors, mood=["calm", "tense", "calm", "sad"][:size])
    experiment = evaluation(audio, Captions(list(range(size)), named=""), Oracle(vectors, torch.zeros(4)))
    steering = NegativeSteering("negative", ["mood"], None, {"replace": [{"guidance": 2}]})
    with pytest.raises(InputError, match="evaluate on a larger pool"):
        steering(experiment, None, [0], lambda done: None)


def test_edits_are_measured_among_the_other_tracks_however_few():
    index = torch.eye(3)
    attributes = pd.DataFrame({"drums": ["rock", "jazz", "jazz"], "lead": ["flute", "flute", "harp"]})
    source = {"drums": "rock", "lead": "flute"}
    edits = Edits(np.array([0]), [source], [source | {"drums": "jazz"}], ["drums"])
    values = edit_metrics(index[1][None, None], index[:1], index, edits, attributes)
    assert (values["gained@10"].mean, values["kept@10"].mean) == (100, 50)


def test_edits_that_nothing_can_be_asked_of_are_refused_in_a_sentence():
    alone = pd.DataFrame({"drums": ["rock"], "lead": ["flute"]})
    with pytest.raises(InputError, match="no edit can be asked for: it takes two tracks"):
        choose_edits([{"drums", "lead"}], torch.tensor([0]), alone, max_pairs=5)
    vectors = torch.randn(1, 4)
    experiment = evaluation(
        Latents(vectors, drums="rock", lead="flute"), Captions([0], named="drums|lead"), Oracle(vectors, torch.zeros(4))
    )
    with pytest.raises(InputError, match="no edit can be asked for"):
        InversionEditing("inversion", ["drums", "lead"], None)(experiment, None, [0], lambda done: None)


def test_fidelity_of_too_few_tracks_is_refused_before_anything_is_sampled():
    with pytest.raises(InputError, match="fidelity needs captions of at least 24 tracks, found 23"):
        require_tracks(torch.arange(23).repeat(3))
    require_tracks(torch.arange(24))
