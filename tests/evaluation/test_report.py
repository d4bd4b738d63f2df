"""What evaluators return: systems are told apart by their fields, and summaries are made in one place."""

import json

import numpy as np
import pytest

from diffgar.errors import InputError
from diffgar.evaluation.metrics.summary import Difference, Summary
from diffgar.evaluation.report import System
from diffgar.evaluation.reports.json_form import paired_as_json, rows_as_json, rows_from_json

SYSTEMS = {
    "gdr": System("gdr"),
    "gdr+qb_norm": System("gdr", correction="qb_norm"),
    "demo_student@500": System("demo_student", step=500),
    "demo_student@500+centring": System("demo_student", step=500, correction="centring"),
    "compose_within 3 1.5 0.3 0.9": System(
        "compose_within", strength={"guidance": 3.0, "negative": 1.5, "interval": [0.3, 0.9]}
    ),
}


@pytest.mark.parametrize(("label", "system"), SYSTEMS.items())
def test_a_label_is_made_of_the_fields(label, system):
    assert system.label == label


def test_systems_that_read_alike_are_not_the_same():
    plain, corrected = System("a+b"), System("a", correction="b")
    assert plain.label == corrected.label and plain != corrected
    assert len({plain, corrected, System("a", correction="b")}) == 2


def test_rows_come_back_from_json_with_their_fields_and_numbers():
    rows = {
        system: {"R@10": Summary(30.0, std=0.5, low=28.0, high=32.0), "share@10": Summary.exact(2.0, n=60)}
        for system in SYSTEMS.values()
    }
    written = json.loads(json.dumps(rows_as_json(rows)))
    assert written["systems"]["gdr+qb_norm"] == {"name": "gdr", "correction": "qb_norm"}
    assert written["rows"]["gdr"]["R@10"] == {"mean": 30.0, "std": 0.5, "low": 28.0, "high": 32.0}
    again = rows_from_json(**written)
    assert again == rows and list(again) == list(rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda written: written["systems"].pop("gdr"),
        lambda written: written["systems"]["gdr"].update(seed=0),
        lambda written: written["rows"]["gdr"]["R@10"].update(median=1.0),
        lambda written: written["rows"]["gdr"]["R@10"].pop("low"),
    ],
)
def test_rows_that_are_not_written_are_not_read(change):
    written = rows_as_json({System("gdr"): {"R@10": Summary.exact(1.0)}})
    change(written)
    with pytest.raises((KeyError, TypeError)):
        rows_from_json(**written)


def test_two_systems_of_one_label_are_refused_and_none_is_lost():
    rows = {System("compose", strength={"weight": weight}): {} for weight in (0.1234567, 0.1234568)}
    with pytest.raises(InputError, match="two systems are both called 'compose 0.123457'"):
        rows_as_json(rows)


def test_a_difference_is_written_under_both_labels():
    pair = (System("gdr"), System("gdr", correction="centring"))
    written = paired_as_json({pair: {"R@10": Difference(1.0, low=0.5, high=1.5, p=0.01, outside_noise=True)}})
    numbers = {"difference": 1.0, "low": 0.5, "high": 1.5, "p": 0.01, "outside_noise": True}
    assert written == {"gdr - gdr+centring": {"R@10": numbers}}


def test_a_summary_has_the_deviation_over_samples_and_the_interval_of_the_redraws():
    terms, redraws = np.array([[0.0, 2.0], [4.0, 6.0], [1.0, 5.0]]), np.linspace(0, 100, 1001)
    found = Summary.of(terms, redraws, n=2)
    assert found == Summary(3.0, pytest.approx(2.0), pytest.approx(2.5), pytest.approx(97.5), 2)  # means are 1, 5 and 3
    assert Summary.of([1.0, 5.0, 3.0], redraws) == Summary(found.mean, found.std, found.low, found.high)
    assert Summary.of([7.0], [7.0, 7.0]) == Summary.exact(7.0)
