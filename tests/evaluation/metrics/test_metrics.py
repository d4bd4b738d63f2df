"""Retrieval metrics: cases worked by hand, chance by enumeration, the bootstrap by redrawing."""

import itertools

import numpy as np
import pytest
import torch

from diffgar.evaluation.metrics.bootstrap import (
    bootstrap_metrics,
    mean_with_interval,
    redraw,
    summarise,
)
from diffgar.evaluation.metrics.ranks import Ranks, ranks
from diffgar.evaluation.metrics.recall import chance_metrics, retrieval_metrics
from diffgar.evaluation.metrics.summary import Difference


def given(places, size=None):
    """Ranks without ties from places written down: a list of lists, the places of each query's
    relevant items.
    """
    width = max(map(len, places))
    relevant = torch.tensor([row + [float("inf")] * (width - len(row)) for row in places]).double()
    first = relevant[:, 0]
    return Ranks(first, first, first, relevant, torch.tensor([len(row) for row in places]))


@pytest.mark.parametrize("num_relevant", [1, 3])
def test_a_constant_model_retrieves_nothing(num_relevant):
    targets = [[q, *range(290, 289 + num_relevant)] for q in range(50)]
    found = ranks(torch.ones(50, 8), torch.ones(300, 8), targets)
    metrics, chance = retrieval_metrics(found, 300), chance_metrics(found.num_relevant, 300)
    for name in ("R@1", "R@5", "R@10", "MRR", "mAP@10"):
        assert metrics[name] <= chance[name]
    assert metrics["R@10"] == 0
    assert metrics["MedR"] >= chance["MedR"]
    assert metrics["R@10_optimistic"] == metrics["ties"] == 100


def test_medr_by_hand():
    found = given([[1], [3], [5], [10]])
    unique, rows = retrieval_metrics(found, 20), retrieval_metrics(found, 20, "caption_rows")
    assert unique["MedR_abs"] == 4  # the mean of the middle two
    assert unique["MedR"] == 20  # of a pool of 20
    assert rows["MedR"] == 40  # of the worst rank seen, 10
    assert unique["R@1"] == 25 and unique["R@5"] == 75 and unique["R@10"] == 100
    assert unique["MRR"] == pytest.approx(100 * (1 + 1 / 3 + 1 / 5 + 1 / 10) / 4)


@pytest.mark.parametrize(
    ("places", "expected"),
    [([1, 2], 1.0), ([1, 3], (1 + 2 / 3) / 2), ([2, 11], (1 / 2) / 2), ([11], 0), (list(range(1, 11)), 1.0)],
)
def test_map_by_hand(places, expected):
    assert retrieval_metrics(given([places]), 50)["mAP@10"] == pytest.approx(100 * expected)


def test_map_counts_at_most_ten_of_many_relevant():
    index = torch.nn.functional.one_hot(torch.arange(40), 40).float() + 0.1
    query = torch.cat([torch.arange(40, 25, -1.0), torch.zeros(25)]).unsqueeze(0)  # 15 relevant ones first
    assert retrieval_metrics(ranks(query, index, [list(range(15))]), 40)["mAP@10"] == pytest.approx(100)


@pytest.mark.parametrize("num_relevant", [[1], [2], [3], [1, 2, 2]])
def test_chance_in_closed_form_is_the_mean_over_every_order(num_relevant):
    size = 12
    orders = [[list(places) for places in itertools.combinations(range(1, size + 1), n)] for n in num_relevant]
    longest = np.lcm.reduce([len(order) for order in orders])
    every = [places for order in orders for places in order * (longest // len(order))]  # each n counts alike
    chance, enumerated = chance_metrics(num_relevant, size), retrieval_metrics(given(every), size)
    assert chance == pytest.approx(enumerated)


def test_bootstrap_redraws_are_the_metrics_of_redrawn_tracks():
    generator = torch.Generator().manual_seed(0)
    groups = torch.randint(0, 9, (30,), generator=generator)
    samples = [given(torch.randint(1, 50, (30, 1), generator=generator).double().tolist()) for _ in range(2)]
    found = bootstrap_metrics(samples, groups, 50, num_resamples=5, seed=3)
    for b, drawn in enumerate(redraw(len(groups.unique()), 5, 3)):
        rows = np.repeat(np.arange(30), drawn[np.unique(groups, return_inverse=True)[1]])
        redrawn = [given(sample.relevant[rows].tolist()) for sample in samples]
        metrics = [retrieval_metrics(sample, 50) for sample in redrawn]
        for name, values in found.items():
            assert values[b] == pytest.approx(np.mean([metric[name] for metric in metrics])), name


def test_captions_of_one_track_are_drawn_together():
    hits = torch.randint(0, 2, (200, 1), generator=torch.Generator().manual_seed(0)).double() * 40 + 1
    alone = bootstrap_metrics([given(hits.tolist())], torch.arange(200), 50, seed=1)
    tripled = hits.repeat_interleave(3, dim=0)
    together = bootstrap_metrics([given(tripled.tolist())], torch.arange(200).repeat_interleave(3), 50, seed=1)
    assert together["R@1"] == pytest.approx(alone["R@1"])  # thrice the captions, no more certainty
    p = float((hits == 1).double().mean())
    assert alone["R@1"].std() == pytest.approx(100 * np.sqrt(p * (1 - p) / 200), rel=0.1)


def test_a_row_does_not_differ_from_itself_and_differs_from_a_better_one():
    worse = given([[rank] for rank in (3, 20, 7, 30, 15) * 20])
    better = given([[rank] for rank in (1, 2, 7, 3, 15) * 20])
    groups = torch.arange(100)
    redraws = [bootstrap_metrics([row], groups, 50) for row in (worse, better)]
    rows = [summarise([retrieval_metrics(row, 50)], draws) for row, draws in zip((worse, better), redraws, strict=True)]
    same = Difference.between(rows[0]["R@5"], rows[0]["R@5"])
    assert same == Difference(0.0, low=0.0, high=0.0, p=1.0, outside_noise=False)
    gain = Difference.between(rows[1]["R@5"], rows[0]["R@5"])
    assert gain.outside_noise and gain.difference == pytest.approx(40) and gain.p < 0.01


def test_the_interval_of_a_mean_is_that_of_the_means_of_redrawn_tracks():
    generator = torch.Generator().manual_seed(0)
    values, groups = torch.rand(2, 12, generator=generator).double(), torch.tensor([0, 0, 5, 5, 5, 7, 7, 7, 7, 9, 9, 9])
    means = []
    for drawn in redraw(4, 50, seed=3):
        rows = np.repeat(np.arange(12), drawn[np.unique(groups, return_inverse=True)[1]])
        means.append(values[:, rows].mean())
    found = mean_with_interval(values, groups, 50, seed=3)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, (2.5, 97.5))))
    assert found.mean == pytest.approx(float(values.mean())) and found.n == 12
    assert found.std == pytest.approx(float(values.mean(dim=1).std()))
    assert mean_with_interval(values[:1], groups, 50, seed=3).std == 0
