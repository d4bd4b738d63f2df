"""Steering methods: each answers captions with queries that suppress what the captions' negatives name.

A new method is one class here and one entry under `methods` in config/control/negative.yaml.
"""

from itertools import repeat

from diffgar.evaluation.control.answers import Answer, dropping, penalised, subtracted
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.control.method import METHODS, SteeringMethod, Strength, registered
from diffgar.evaluation.control.rivals import RIVALS

__all__ = ["METHODS", "REFERENCES", "SteeringMethod", "Strength", "registered"]


class Plain(SteeringMethod):
    """No steering: what every method is compared with."""

    name, starts_from_plain = "plain", False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return Answer(bench.plain())


class TruthFilter(SteeringMethod):
    """Drops the tracks that have the value by ground truth: an upper bound for all methods."""

    name, starts_from_plain = "truth_filter", False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return Answer(bench.plain(), repeat(dropping(bench.has())))


REFERENCES: tuple[SteeringMethod, ...] = (Plain(), TruthFilter())  # in every table, first


@registered
class Replace(SteeringMethod):
    """Guidance in which the negative takes the place of the empty caption: the published form."""

    name, example = "replace", {"guidance": 2}

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return Answer(bench.guided("replace", strength["guidance"], negative=1.0))


@registered
class Compose(SteeringMethod):
    """Guidance towards the caption and, with a weight of its own, away from the negative."""

    name, example = "compose", {"guidance": 2, "negative": 0.5}

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return Answer(bench.guided("compose", **strength))


@registered
class ComposeWithin(Compose):
    """`compose` in an interval of the noise range alone."""

    name, example = "compose_within", {"guidance": 3, "negative": 1, "interval": [0.3, 0.9]}


@registered
class QueryArithmetic(SteeringMethod):
    """Subtracts the query that is generated for the value alone from the plain one."""

    name, example = "query_arithmetic", {"weight": 0.5}

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return subtracted(bench.plain(), bench.avoided(), **strength)


@registered
class QueryPenalty(SteeringMethod):
    """Penalises the tracks that are near to the query that is generated for the value alone."""

    name, example = "query_penalty", {"penalty": 1}

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return penalised(bench.unit_index(), bench.plain(), bench.avoided(), **strength)


@registered
class ComposePenalty(SteeringMethod):
    """`compose_within`, and then the penalty of `query_penalty`."""

    name, example = "compose_penalty", {"penalty": 1, **ComposeWithin.example}

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        composed = bench.guided("compose", *(strength[name] for name in ComposeWithin.example))
        return penalised(bench.unit_index(), composed, bench.avoided(), strength["penalty"])


@registered
class TextArithmetic(SteeringMethod):
    """Subtracts the value's embedding from the plain query."""

    name, example, needs_joint = "text_arithmetic", {"weight": 0.5}, True

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return subtracted(bench.plain(), bench.avoided_text(), **strength)


@registered
class TextPenalty(SteeringMethod):
    """Penalises the tracks that are near to the value's embedding."""

    name, example, needs_joint = "text_penalty", {"penalty": 1}, True

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return penalised(bench.unit_index(), bench.plain(), bench.avoided_text(), **strength)


@registered
class ComposeTextPenalty(SteeringMethod):
    """`compose_within`, and then the penalty of `text_penalty`."""

    name, example, needs_joint = "compose_text_penalty", ComposePenalty.example, True

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        composed = bench.guided("compose", *(strength[name] for name in ComposeWithin.example))
        return penalised(bench.unit_index(), composed, bench.avoided_text(), strength["penalty"])


@registered
class TeacherArithmetic(SteeringMethod):
    """Subtracts the value's embedding from the caption's own; nothing is generated. Weight 0 is the teacher itself."""

    name, example, needs_joint, starts_from_plain = "teacher_arithmetic", {"weight": 0.5}, True, False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return subtracted(bench.teacher(), bench.avoided_text(), **strength)


@registered
class TeacherPenalty(SteeringMethod):
    """Ranks by the caption's own embedding and penalises the tracks that are near to the value's."""

    name, example, needs_joint, starts_from_plain = "teacher_penalty", {"penalty": 1}, True, False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return penalised(bench.unit_index(), bench.teacher(), bench.avoided_text(), **strength)


@registered
class TeacherFilter(SteeringMethod):
    """Drops a share of the pool: the tracks that score highest on the value's embedding."""

    name, example, needs_joint = "teacher_filter", {"share": 0.1}, True

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        scores = (bench.avoided_text().vectors[:, 0] @ bench.index.T).amax(dim=0)  # (P, N)
        least = scores.quantile(1 - strength["share"], dim=1, keepdim=True)
        return Answer(bench.plain(), repeat(dropping(scores >= least)))


for rival in RIVALS:
    registered(rival)
