"""Which tracks are the pool, and where their latents are seen from."""

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from pools import Captions, Latents, Oracle, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.control.methods import METHODS
from diffgar.evaluation.control.pair_bench import Generator, PairBench
from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.pooling import Pooling, make_queries
from diffgar.evaluation.queries import task_of
from diffgar.evaluation.report import System
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import attribute_metrics, audio_to_text, make_systems
from diffgar.evaluation.track_means import index_of
from diffgar.text_states import TextStates

QUICK = RetrievalOptions(num_resamples=10)


def test_tracks_without_captions_stay_in_the_pool():
    audio = Latents(torch.randn(66, 4))
    task = task_of("t", audio, Captions([0, 3, 5, 7, 9, 11]), "test")
    assert len(task.track_ids) == 66 and task.describe()["pool_size"] == 66
    assert task.targets.tolist() == [0, 3, 5, 7, 9, 11]


def test_tracks_of_other_splits_and_their_captions_stay_out():
    audio = Latents(torch.randn(6, 4), split=["train", "train", "test", "test", "test", "validation"])
    text = Captions([0, 2, 4], split=["train", "test", "test"])
    task = task_of("t", audio, text, "test")
    assert task.track_ids == ("t2", "t3", "t4") and list(task.captions["track_id"]) == ["t2", "t4"]
    with pytest.raises(InputError, match="no track is in split 'val'; there are test, train, validation"):
        task_of("t", audio, text, "val")


def test_a_captioned_track_without_latents_is_missing_and_one_of_two_splits_is_refused():
    audio, text = Latents(torch.randn(4, 4)), Captions([1, 9])
    with pytest.raises(InputError, match="1 of 5 tracks have no latents, first 't9'"):
        task_of("t", audio, text, "test")
    task = task_of("t", audio, text, "test", allow_missing=True)
    assert (len(task.track_ids), task.missing, len(task.captions)) == (4, ("t9",), 1)
    moved = Latents(torch.randn(4, 4), split=["test", "train", "test", "test"])
    with pytest.raises(InputError, match="'t1' is in split 'train' in audio and in 'test' in text"):
        task_of("t", moved, Captions([1]), "test")


@pytest.mark.parametrize("wanted", [True, "true", "True", [True, "other"]])
def test_where_reads_words_and_switches_as_a_dataset_does(wanted):
    audio = Latents(torch.randn(6, 4), vocal=[True, False, True, True, False, False])
    text = Captions([0, 1, 2])
    task = task_of("t", audio, text, "test", where={"vocal": wanted})
    assert task.track_ids == ("t0", "t2", "t3")  # t3 has no caption
    assert list(task.captions["track_id"]) == ["t0", "t2"]


def test_where_by_a_column_of_captions_takes_out_the_tracks_that_it_leaves_without_one():
    audio = Latents(torch.randn(5, 4))
    text = Captions([0, 0, 1, 2], checked=["TRUE", "false", "false", "true"])
    task = task_of("t", audio, text, "test", where={"checked": True})
    assert task.track_ids == ("t0", "t2", "t3", "t4")  # t1 is out; t3 and t4 had no caption to take out
    assert list(task.captions["caption_id"]) == ["c0", "c3"]
    with pytest.raises(InputError, match="task t, split test: no column 'genre'; there are"):
        task_of("t", audio, text, "test", where={"genre": "rock"})
    with pytest.raises(InputError, match="task t, split test: no row has checked in"):
        task_of("t", audio, text, "test", where={"checked": "maybe"})


def recall(mean: torch.Tensor, centre: torch.Tensor, **how) -> dict:
    """R@10 of 200 unit vectors that all have a mean added, ranked about a centre."""
    vectors = F.normalize(torch.randn(200, 32, generator=torch.Generator().manual_seed(0)), dim=-1)
    experiment = evaluation(Latents(vectors + mean), Captions(list(range(200))), Oracle(vectors + mean, centre, 0.5))
    systems = make_systems([experiment], [0, 1], [Pooling(**how)])
    report = evaluate_retrieval(systems.queries, systems.index, experiment.task, QUICK)
    return report.rows[System("gdr")]["R@10"].mean


@pytest.mark.parametrize("how", [{}, {"samples": "set"}, {"pooling": "best_frame"}])
def test_a_common_mean_of_ten_times_the_latents_length_changes_no_rank_about_the_centre(how):
    mean = 10 * F.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=-1)
    plain = recall(torch.zeros(32), torch.zeros(32), **how)
    assert 30 < plain < 98
    assert recall(mean, mean, **how) == pytest.approx(plain, abs=0.5)
    assert recall(mean, torch.zeros(32), **how) < plain - 1  # what raw cosines make of them


def test_queries_subtract_and_penalise_what_differs_not_what_all_latents_share():
    """`query_arithmetic` of latents with a common mean is that of the latents without it."""

    class Avoided:
        """The negative of each pair: the latents of caption 7."""

        positions, purpose = torch.tensor([7]).numpy(), "phrasing"

        def padded(self, rows):
            return TextStates(torch.full((len(rows), 1, 1), 7.0), torch.ones(len(rows), 1, dtype=torch.bool))

        def of_pairs(self, vectors):
            return vectors.expand(-1, 3, -1)

    answers = []
    for mean in (torch.zeros(8), 50 * torch.ones(8)):
        vectors = F.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
        experiment = evaluation(Latents(vectors + mean), Captions(list(range(20))), Oracle(vectors + mean, mean, 0.0))
        pairs = Pairs(torch.tensor([0, 1, 2]), [], torch.zeros(3, 20, dtype=torch.bool), torch.zeros(3).long())
        index = index_of(experiment.audio, experiment.task, mean)
        bench = PairBench(Generator(experiment, [0]), index, pairs, Avoided())
        subtracted = METHODS["query_arithmetic"].answer(bench, {"weight": 0.5})
        penalised = METHODS["query_penalty"].answer(bench, {"penalty": 1.0})
        answers.append((subtracted.queries, *penalised.penalties))
    for found, expected in zip(*answers, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_a_centre_is_taken_off_the_mean_of_valid_frames():
    latents = torch.tensor([[[[3.0, 1.0], [5.0, 1.0], [99.0, 99.0]]]])  # (1, 1, 3, 2)
    mask = torch.tensor([[[True, True, False]]])
    queries = make_queries(latents, mask, centre=torch.tensor([4.0, 0.0]))
    assert queries.tolist() == [[0.0, 1.0]]
    assert index_of(
        Latents(torch.tensor([[4.0, 2.0]])),
        task_of("t", Latents(torch.ones(1, 2)), Captions([0]), "test"),
        torch.tensor([4.0, 0.0]),
    ).tolist() == [[0.0, 1.0]]


def test_attributes_where_no_caption_names_one_leave_the_table_as_it_is():
    audio = Latents(torch.randn(5, 4), mood=["calm"] * 5)
    experiment = evaluation(audio, Captions([0, 1], named=["", ""]), Oracle(torch.randn(2, 4), torch.zeros(4)))
    assert attribute_metrics(experiment, make_systems([experiment], [0]), ["mood"]) == {}
    assert isinstance(experiment.task.captions, pd.DataFrame)


def test_a_pair_that_is_not_joint_has_no_caption_embeddings_to_search_with():
    vectors = torch.randn(3, 4)
    experiment = evaluation(Latents(vectors), Captions([0, 1, 2]), Oracle(vectors, torch.zeros(4)))
    with pytest.raises(InputError, match="audio_to_text needs a joint pair, and own is not one"):
        audio_to_text(experiment)
    experiment.text.embeddings = vectors
    assert torch.equal(experiment.caption_embeddings(experiment.caption_positions[1:]), vectors[1:])
