"""Graded metrics against the values of ir-measures, with and without ties, and against a random order.

The values were computed by ir-measures 0.4.3 (its provider: pytrec_eval-terrier 0.5.11) in an environment of its own:

    pip install ir-measures==0.4.3
    ir_measures.iter_calc([nDCG @ 10, AP(rel=2), R(rel=2) @ 10, RR(rel=2)], qrels, run)

GRADES being qrels and SCORES the run of four queries and twelve documents. TIED are the same scores in three groups of
four, `SCORES % 12 // 4`; of them the values are the mean over all 24³ orders, each made by small additions.
"""

import pytest
import torch

from diffgar.evaluation.metrics.graded import graded_metrics

GRADES = torch.tensor(
    [
        [3, 1, 1, 0, 0, 0, 0, 0, 0, 2, 1, 3],
        [1, 1, 3, 2, 1, 1, 1, 3, 0, 2, 2, 0],
        [0, 3, 1, 0, 2, 2, 3, 0, 0, 3, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
SCORES = torch.tensor(
    [
        [11, 10, 4, 7, 8, 6, 9, 2, 3, 5, 0, 1],
        [16, 18, 14, 15, 20, 19, 21, 23, 13, 17, 22, 12],
        [31, 34, 24, 33, 29, 32, 28, 30, 35, 27, 25, 26],
        [46, 44, 39, 41, 42, 38, 40, 45, 36, 47, 43, 37],
    ]
)
PLAIN = {
    "nDCG@10": [0.652804704746, 0.919328037356, 0.637732100581, 0.0],
    "mAP": [0.519480519481, 0.674603174603, 0.496825396825, 0.0],
    "R@10": [0.666666666667, 1.0, 1.0, 0.0],
    "MRR": [1.0, 1.0, 0.5, 0.0],
}
TIED = {
    "nDCG@10": [0.593728077689, 0.762938928053, 0.651508093845, 0.0],
    "mAP": [0.375703463203, 0.539269480519, 0.586497113997, 0.0],
    "R@10": [0.833333333333, 0.8, 0.9, 0.0],
    "MRR": [0.520833333333, 0.722222222222, 0.722222222222, 0.0],
}


@pytest.mark.parametrize(("scores", "expected"), [(SCORES, PLAIN), (SCORES % 12 // 4, TIED)], ids=["plain", "tied"])
def test_the_values_are_those_of_ir_measures(scores, expected):
    found = graded_metrics(scores.float(), GRADES, relevant_from=2)
    for name, values in expected.items():
        assert found[name].tolist() == pytest.approx([100 * value for value in values], abs=1e-9), name


def test_the_example_of_the_docstring():
    found = graded_metrics(torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0, 2, 1]]))
    assert float(found["nDCG@10"]) == pytest.approx(67.0, abs=0.05)
    assert float(found["MRR"]) == 50


def test_equal_scores_are_the_mean_of_random_orders():
    generator = torch.Generator().manual_seed(0)
    grades = torch.tensor([[0, 2, 0, 1, 0, 0, 3, 0, 0, 1, 0, 0, 2, 0, 0]])
    level = graded_metrics(torch.zeros(1, 15), grades)
    drawn = graded_metrics(torch.rand(20_000, 15, generator=generator), grades.expand(20_000, -1))
    for name, value in level.items():
        assert float(value) == pytest.approx(float(drawn[name].mean()), abs=0.6), name


def test_a_negative_grade_gains_nothing_and_takes_nothing():
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    below, zero = (graded_metrics(scores, torch.tensor([[first, 2, 1]])) for first in (-2, 0))
    assert {name: float(value) for name, value in below.items()} == {name: float(v) for name, v in zero.items()}
