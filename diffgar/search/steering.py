"""The steering method of a search, by default the one that measured best for the kind of model and encoder pair.

`docs/results.md` has the measurements, `diffgar.evaluation.control.methods` the methods.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffgar.evaluation.control.answers import Answer
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.control.methods import METHODS
from diffgar.jobs.opened import Opened
from diffgar.models.baselines import ContrastiveHeads, Regression
from diffgar.models.distill import Student
from diffgar.search.errors import SearchError
from diffgar.search.question import Question

COMPOSED = {"penalty": 0.75, "guidance": 3, "negative": 1.5, "interval": [0.3, 0.9]}
GUIDED = ("replace", "compose", "compose_within", "compose_penalty", "compose_text_penalty")


@dataclass(frozen=True)
class Steering:
    """A method and its strength."""

    name: str
    strength: Mapping[str, Any]

    def answer(self, bench: Bench) -> Answer:
        """The queries of a bench, steered."""
        return METHODS[self.name].answer(bench, self.strength)


def steering_of(opened: Opened, question: Question, generated: bool) -> Steering:
    """The method that a question names, or the usual one of a search.

    generated: whether the query is generated for a caption. A track's query, or an edited one, cannot be guided.
    """
    if question.method is not None:
        return checked(opened, question.method, question.strength)
    if not generated or isinstance(opened.model, ContrastiveHeads | Regression | Student):
        return Steering("query_penalty", {"penalty": 1})
    return Steering("compose_text_penalty" if opened.joint else "compose_penalty", COMPOSED)


def vector_steering_of(opened: Opened, question: Question) -> Steering:
    """The method that a question names, or the usual one where only a vector is wanted, which penalises nothing."""
    if question.method is None:
        return Steering("query_arithmetic", {"weight": 0.5})
    return checked(opened, question.method, question.strength)


def checked(opened: Opened, name: str, strength: Mapping[str, Any] | None) -> Steering:
    """A method and its strength, by default its example. Raises SearchError where the model cannot use the method."""
    if name not in METHODS:
        raise SearchError(f"no steering method {name!r}; choose one of {', '.join(METHODS)}")
    method, model = METHODS[name], opened.model
    if method.needs_joint and not opened.joint:
        raise SearchError(
            f"{name} needs captions and tracks in one space, and the pair {opened.pair} is not joint; choose "
            f"{', '.join(other for other in METHODS if not METHODS[other].needs_joint)}"
        )
    if isinstance(model, ContrastiveHeads) and (method.needs_joint or name in GUIDED):
        raise SearchError(
            f"{name} works on what a diffusion model samples or in the encoder pair's space, and {opened.name} "
            f"({model.row}) has a space of its own; choose query_penalty or query_arithmetic"
        )
    if isinstance(model, Regression) and name in GUIDED:
        raise SearchError(
            f"{name} guides the sampling, and {opened.name} ({model.row}) samples nothing; choose query_penalty or "
            "query_arithmetic"
        )
    given = dict(method.example) if strength is None else dict(strength)
    if set(given) != set(method.example):
        raise SearchError(f"the strength of {name} is {given}; give it as {dict(method.example)}")
    return Steering(name, given)
