"""What comes first: a pool in which every track has its reversed twin."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pools import Captions, Latents, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.metrics.order import order_right
from diffgar.evaluation.queries import task_of
from diffgar.evaluation.report import CHANCE, System
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import Pooling, make_systems

PAIRS, DIM = 40, 32
TWINS = [f"t{(n + PAIRS) % (2 * PAIRS)}" for n in range(2 * PAIRS)]
GDR, IN_TIME, ALIGNED = System("gdr"), System("gdr", pooling="segments"), System("gdr", pooling="aligned")


class Sequences(Latents):
    """Tracks of two unlike halves, and after them the same tracks with the halves exchanged."""

    def __init__(self, halves: torch.Tensor, first: int = 3):
        frames = [
            half.unsqueeze(1).expand(-1, n, -1) for half, n in zip(halves.unbind(1), (first, 6 - first), strict=True)
        ]
        self.frames = torch.cat([torch.cat(frames, dim=1), torch.cat(frames[::-1], dim=1)])  # (2N, 6, D)
        super().__init__(self.frames.mean(dim=1), twin_of=TWINS)

    def row(self, position):
        return self.frames[position].numpy()


class Composer:
    """Generates the frames (T, D) of each caption's track, with a little noise; `calls` counts the captions."""

    row, sampled, num_frames, device, centre = "gdr", True, 4, "cpu", torch.zeros(DIM)

    def __init__(self, halves: torch.Tensor, noise: float = 0.1):
        self.halves, self.noise, self.calls = halves, noise, 0

    def generate(self, sampler, text, generators, num_frames, negatives=(), form="compose"):
        self.calls += len(generators)
        wanted = self.halves[text.hidden_states.flatten().long()].repeat_interleave(2, dim=1)  # (B, 4, D)
        return wanted + self.noise * torch.stack([torch.randn(4, DIM, generator=each) for each in generators])


def halves_of(seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(PAIRS, 2, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def asked(*poolings: Pooling, first: int = 3, twins: str | None = "twin_of", noise: float = 0.1, seeds=(0,)):
    """The report of 40 captions in a pool of 40 tracks and their twins."""
    halves = halves_of()
    experiment = evaluation(
        Sequences(halves, first), Captions(list(range(PAIRS))), Composer(halves, noise), twins=twins
    )
    systems = make_systems([experiment], seeds, poolings)
    assert experiment.model.calls == PAIRS * experiment.sampler.num_samples * len(seeds)  # once for all poolings
    return evaluate_retrieval(systems.queries, systems.index, experiment.task, RetrievalOptions(num_resamples=50))


def first_right(**how) -> float:
    return asked(Pooling(**how)).rows[GDR]["R@1"].mean


def test_the_mean_over_time_cannot_tell_a_track_from_its_reverse_and_parts_side_by_side_can():
    assert first_right() < 75  # the twin is as near
    assert first_right(pooling="segments", segments=2) == 100
    assert first_right(pooling="segments", segments=3) == 100  # a cut through the middle of a part
    assert first_right(pooling="aligned", segments=2) == 100


def test_one_part_is_the_mean_over_time():
    assert first_right(pooling="segments", segments=1) == pytest.approx(first_right())
    report = asked(Pooling(pooling="aligned", segments=1))
    assert 25 < report.rows[GDR]["order_right"].mean < 75 and report.rows[GDR]["R@10"].mean == 100


def test_several_poolings_are_rows_of_one_table_and_only_those_in_time_have_the_order_right():
    report = asked(Pooling(), Pooling(pooling="segments"), Pooling(pooling="aligned"), seeds=(0, 1))
    assert list(report.rows) == [CHANCE, GDR, IN_TIME, ALIGNED]
    assert [system.label for system in report.rows] == ["chance", "gdr", "gdr, segments", "gdr, aligned"]
    order = {system: metrics["order_right"] for system, metrics in report.rows.items()}
    assert order[CHANCE].mean == 50
    assert 25 < order[GDR].mean < 75
    assert order[IN_TIME].mean == order[ALIGNED].mean == 100
    assert report.rows[IN_TIME]["R@10"].mean == 100 and report.rows[GDR]["R@10"].mean == 100  # the twin is the second
    assert report.paired[GDR, IN_TIME]["order_right"].outside_noise
    assert report.protocol["num_pairs"] == PAIRS


def test_a_change_that_is_not_at_the_middle_is_found_by_the_best_cut():
    report = asked(Pooling(pooling="segments"), Pooling(pooling="aligned"), first=1, noise=1.0)
    assert report.rows[ALIGNED]["R@1"].mean > report.rows[IN_TIME]["R@1"].mean + 5


@pytest.mark.parametrize("pooling", ["segments", "aligned"])
def test_with_all_weight_on_the_pooled_vector_the_order_is_chance_and_with_half_it_counts(pooling):
    def right(weight: float) -> float:
        return asked(Pooling(pooling=pooling, pooled_weight=weight)).rows[GDR]["order_right"].mean

    assert 25 < right(1.0) < 75
    assert right(0.5) == 100


def test_a_tie_with_the_twin_counts_half():
    index = torch.eye(3)[[0, 0, 1, 2]]
    queries = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert order_right(queries, index, torch.tensor([0, 2, 3]), torch.tensor([1, 3, 2])).tolist() == [50, 100, 0]


def test_a_track_and_its_twin_are_one_unit_of_the_bootstrap():
    halves = halves_of()
    both = [*range(PAIRS), *range(PAIRS)]  # a caption of each track, and the same of its twin
    text = Captions([*range(2 * PAIRS)])
    experiment = evaluation(Sequences(halves), text, Composer(torch.cat([halves, halves.flip(1)])), twins="twin_of")
    assert experiment.task.units.tolist() == both
    half_right = torch.cat([halves.mean(dim=1), -halves.mean(dim=1)])[None]  # each pair has one R@10 of 100, one of 0
    options = RetrievalOptions(num_resamples=50)
    found = evaluate_retrieval({GDR: half_right}, experiment.audio.vectors, experiment.task, options).rows[GDR]["R@10"]
    assert (found.low, found.mean, found.high) == (50, 50, 50)
    alone = replace(experiment.task, twins=None)
    by_track = evaluate_retrieval({GDR: half_right}, experiment.audio.vectors, alone, options)
    assert by_track.rows[GDR]["R@10"].low < 48 and "order_right" not in by_track.rows[GDR]


def test_tracks_without_a_twin_are_not_asked_for_their_order():
    audio = Sequences(halves_of())
    lonely = {"t3", "t43"}
    audio.rows.loc[audio.rows["row_id"].isin(lonely), "twin_of"] = None
    task = task_of("t", audio, Captions([2, 3, 5]), "test", twins="twin_of")
    assert task.twins_of_captions().tolist() == [[0, 2], [2, 5], [42, 45]]


@pytest.mark.parametrize(
    ("twins", "column", "message"),
    [
        (TWINS, "reversed", "task t: tracks have no column 'reversed'; there are .*twin_of.*; correct task.twins"),
        ([None] * 2 * PAIRS, "twin_of", "no track of the pool has a twin in 'twin_of'; set task.twins=null"),
        (["gone", *TWINS[1:]], "twin_of", "track 't0' has the twin 'gone', which is not in the pool"),
        (["t1", *TWINS[1:]], "twin_of", "track 't0' has the twin 't1', whose own twin is 't41'"),
        (["t0", *TWINS[1:]], "twin_of", "track 't0' has the twin 't0', whose own twin is 't0'"),
    ],
)
def test_twins_that_are_none_are_refused(twins, column, message):
    audio = Sequences(halves_of())
    audio.rows["twin_of"] = twins
    with pytest.raises(InputError, match=message):
        task_of("t", audio, Captions([0]), "test", twins=column)
