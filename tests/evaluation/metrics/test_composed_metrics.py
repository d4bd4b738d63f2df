"""The metrics of composed requests by hand, on seven tracks."""

import math

import pytest
import torch

from diffgar.evaluation.metrics import composed
from diffgar.evaluation.metrics.composed import ComposedTruth, chance_of_composed, composed_values, ranked_by_truth

# lead, drums, tempo of tracks 0 to 6; −1: unknown
CODES = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, -1]])


def truth(source=0, target=1, changed=0, kept=(False, True, True)) -> ComposedTruth:
    """Track 0, but with lead 1, and its drums and tempo: tracks 1 and 5."""
    return ComposedTruth(
        torch.tensor([source]), torch.tensor([target]), CODES, torch.tensor([changed]), torch.tensor([kept])
    )


def test_right_are_the_target_and_all_others_with_the_new_value_and_what_stays():
    assert truth().right.tolist() == [[False, True, False, False, False, True, False]]
    assert truth(kept=(False, True, False)).right.sum() == 3  # track 2 as well
    assert truth().fits.tolist() == [[2, 3, 2, 2, 2, 3, 0]]


def test_a_request_whose_change_or_whose_rest_is_unknown_has_its_target_alone():
    assert truth(changed=-1).right.nonzero().tolist() == [[0, 1]]
    assert truth(kept=(False, False, False)).right.nonzero().tolist() == [[0, 1]]


def test_shares_of_the_top_are_counted_without_the_source(monkeypatch):
    monkeypatch.setattr(composed, "K", 4)
    scores = torch.tensor([[9.0, 5, 8, 6, 7, 1, 0]])  # the source first; then 2, 4, 3, 1
    values = {name: float(value) for name, value in composed_values(scores, truth()).items()}
    assert values == {"R@1": 0, "R@5": 100, "R@10": 100, "precision@10": 25, "gained@10": 75, "kept@10": 75}
    # 2, 3 and 1 of the four have the new lead; 2, 4 and 1 have the drums, and 4, 3 and 1 the tempo


def test_the_source_is_never_ranked():
    """However similar the source is, it stands nowhere: the target takes the first rank."""
    scores = torch.tensor([[math.inf, 5, 1, 1, 1, 1, 1]])
    assert float(composed_values(scores, truth())["R@1"]) == 100
    assert composed.without_sources(scores, torch.tensor([0]))[0].tolist() == [-math.inf, 5, 1, 1, 1, 1, 1]
    assert composed_values(torch.zeros(1, 7), truth())["R@1"] == 0  # all six others tie: the target's mid-rank is 3.5
    assert composed_values(torch.zeros(1, 7), truth())["R@5"] == 100


def test_what_is_unknown_is_nan_and_not_zero():
    unknown = composed_values(torch.rand(1, 7), truth(changed=-1, kept=(False, False, False)))
    assert unknown["gained@10"].isnan().all() and unknown["kept@10"].isnan().all()
    assert not unknown["R@10"].isnan().any() and not unknown["precision@10"].isnan().any()


def test_chance_is_the_mean_over_all_orders():
    """Against random orders of the other six tracks."""
    generator = torch.Generator().manual_seed(0)
    one, often = truth(), torch.zeros(4000, dtype=torch.long)
    many = ComposedTruth(one.sources[often], one.targets[often], CODES, one.changed[often], one.kept[often])
    drawn = composed_values(torch.rand(4000, 7, generator=generator), many)
    for name, value in chance_of_composed(one).items():
        assert float(value) == pytest.approx(float(drawn[name].mean()), abs=2.5), name
    assert float(chance_of_composed(one)["precision@10"]) == pytest.approx(100 * 2 / 6)


def test_the_truth_ranks_what_satisfies_the_request_first():
    order = ranked_by_truth(truth())[0].argsort(descending=True).tolist()
    assert set(order[:2]) == {1, 5} and order[-1] == 6
    assert float(composed_values(ranked_by_truth(truth()), truth())["R@5"]) == 100
