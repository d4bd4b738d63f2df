"""Steering methods: the registry, their strengths as fields, and what a new one takes."""

from types import SimpleNamespace

import pytest
import torch
from pools import Captions, Latents, Oracle, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.control.answers import Answer
from diffgar.evaluation.control.methods import METHODS, REFERENCES, SteeringMethod, registered
from diffgar.evaluation.control.negative import NegativeSteering
from diffgar.evaluation.control.pair_bench import Generator, PairBench
from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.control.strengths import labels_along
from diffgar.evaluation.control.tally import Tally
from diffgar.evaluation.control.wording import Saying
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import PLAIN, System
from diffgar.evaluation.reports import control
from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.track_means import index_of
from diffgar.models.encoders.base import TextEncoder
from diffgar.text_states import TextStates


class OneToken(TextEncoder):
    """The same token state for every caption."""

    def encode(self, captions):
        return TextStates(torch.full((len(captions), 1, 1), 3.0), torch.ones(len(captions), 1, dtype=torch.bool))


WITHIN = {"guidance": 3, "negative": 1.5, "interval": [0.3, 0.9]}


def systems(joint=True, **methods) -> dict[str, System]:
    """Label → system, of negative steering with these methods."""
    steering = NegativeSteering("negative", [], None, methods)
    return {system.label: system for _, system in steering.systems(joint)}


def test_a_row_says_its_method_and_strength_and_has_them_as_fields():
    found = systems(compose=[{"negative": 0.5, "guidance": 2}], compose_within=[WITHIN])
    assert list(found) == ["plain", "truth_filter", "compose 2 0.5", "compose_within 3 1.5 0.3 0.9"]
    assert found["compose_within 3 1.5 0.3 0.9"].describe() == {
        "name": "compose_within",
        "strength": {"guidance": 3.0, "negative": 1.5, "interval": [0.3, 0.9]},
    }
    assert found["plain"].describe() == {"name": "plain"}


def test_methods_that_need_a_joint_pair_are_left_out_of_another():
    asked = {name: [method.example] for name, method in METHODS.items()}
    of_a_joint_pair, of_another = ({system.name for system in systems(joint, **asked).values()} for joint in (1, 0))
    references = {method.name for method in REFERENCES}
    assert of_a_joint_pair == {*METHODS, *references}
    assert of_another == {name for name, method in METHODS.items() if not method.needs_joint} | references
    assert {name for name in METHODS if "teacher" in name or "text" in name} == of_a_joint_pair - of_another


def test_a_tally_counts_what_will_be_generated():
    told: list[int] = []
    vectors = torch.eye(20)
    experiment = evaluation(Latents(vectors), Captions(list(range(20))), Oracle(vectors, torch.zeros(20)))
    phrasings = TextStates(torch.tensor([[[3.0]], [[4.0]], [[5.0]]]), torch.ones(3, 1, dtype=torch.bool))
    negatives = Negatives(["a", "b", "c"], phrasings, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0, 1]))
    values = [("x", "1"), ("y", "2"), ("x", "1"), ("y", "2")]
    pairs = Pairs(torch.arange(4), values, torch.zeros(4, 20, dtype=torch.bool), torch.zeros(4).long())
    saying = Saying(["a", "b", "c", "d"], values, experiment.caption_positions[:4], OneToken())
    bench = PairBench(Generator(experiment, [0, 1], told.append), vectors, pairs, negatives, saying)
    for methods in ({}, {"query_penalty": [{"penalty": 1}]}, {n: [m.example] for n, m in METHODS.items()}):
        told.clear()
        bench._kept.clear()
        asked = list(NegativeSteering("negative", [], None, methods).systems(joint=False, learning=False))
        for method, system in asked:
            method.answer(bench, system.strength)
        assert Tally(asked).num_queries(len(pairs.caption_index), 3, num_seeds=2, num_heard=2) == sum(told)
    joint = NegativeSteering("negative", [], None, {n: [m.example] for n, m in METHODS.items()})
    assert joint.size(SimpleNamespace(joint=True, task=experiment.task, audio=experiment.audio)) == (20, 6)


def test_a_new_method_is_one_class_and_one_entry(monkeypatch):
    monkeypatch.setitem(METHODS, "opposite", None)  # which is undone afterwards

    @registered
    class Opposite(SteeringMethod):
        """The plain query turned around."""

        name, example = "opposite", {"weight": 1}

        def answer(self, bench, strength):
            return Answer(-strength["weight"] * bench.plain())

    assert list(systems(opposite=[{"weight": 2}])) == ["plain", "truth_filter", "opposite 2"]
    with pytest.raises(InputError, match=r"opposite is {}; give each strength by its names, such as .*\[{weight: 1}\]"):
        systems(opposite=[{}])


def test_a_figure_reads_methods_and_strengths_from_their_fields_and_not_from_names(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(control, "tradeoff_figure", lambda path, tables, *axes: drawn.append(tables))
    systems = [
        PLAIN,
        System("compose", strength={"guidance": 3.0, "negative": 1.0}),
        System("compose", strength={"guidance": 3.0, "negative": 2.0}),
        System("teacher 9 penalty", strength={"penalty": 1.0}),
    ]
    rows = {system: {"share@10": Summary.exact(x), "R@10": Summary.exact(1)} for x, system in enumerate(systems)}
    shape, extra = {"name": "unique_tracks"}, {"from_plain": ["compose"]}
    control.control_figure(tmp_path / "f", Result("control", "m", "t", 5, shape, rows, extra=extra))
    curves = {method: list(zip(table["label"], table["x"], strict=True)) for method, table in drawn[0].items()}
    assert curves == {"plain": [("", 0)], "compose": [("", 0), ("1", 1), ("2", 2)], "teacher 9 penalty": [("1", 3)]}


def test_what_several_methods_start_from_is_generated_once():
    vectors, made = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), []
    experiment = evaluation(Latents(vectors), Captions(list(range(20))), Oracle(vectors, torch.zeros(8)))
    generate, index = Generator(experiment, [0, 1], made.append), index_of(experiment.audio, experiment.task)
    nothing = torch.zeros(2, 20, dtype=torch.bool), torch.zeros(2).long()
    several = [Pairs(torch.tensor(captions), [], *nothing) for captions in ([3, 5], [7, 8])]
    first, second = (PairBench(generate, index, pairs, None) for pairs in several)
    assert torch.equal(first.plain(), first.plain()) and sum(made) == 2 * 2  # captions times seeds
    assert not torch.equal(second.plain(), first.plain()) and sum(made) == 2 * 4


@pytest.mark.parametrize(
    ("strengths", "labels"),
    [
        ([WITHIN, WITHIN | {"negative": 2}], ["1.5", "2"]),
        ([{"guidance": 2, "negative": 0.5}, {"guidance": 3, "negative": 1}], ["2 0.5", "3 1"]),
        ([WITHIN], ["3 1.5 0.3 0.9"]),
        ([{}], [""]),
    ],
)
def test_a_figure_labels_a_curve_by_the_numbers_that_differ_along_it(strengths, labels):
    assert labels_along(strengths) == labels
