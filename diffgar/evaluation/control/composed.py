"""Composed requests, "this track, but …": a source track and an instruction rank the pool, and a target is right.

The source itself is never ranked. An edit that ignores the instruction keeps all and gains nothing; a query that
ignores the source gains and keeps nothing. R@k of the target asks for both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffgar.dataloading.datasets.triples import Requests
from diffgar.errors import InputError
from diffgar.evaluation.control.composed_rows import composed_report
from diffgar.evaluation.control.composers import ComposedBench, Composer, mixed, summed
from diffgar.evaluation.control.evaluator import refuse_rivals
from diffgar.evaluation.control.pair_bench import Generator
from diffgar.evaluation.control.phrasings import Phrasings, as_written
from diffgar.evaluation.control.requests import ComposedRequests
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import Progress, no_progress
from diffgar.evaluation.report import TEACHER, Report, System
from diffgar.evaluation.track_means import index_of
from diffgar.models.encoders.base import TextEncoder
from diffgar.values import number, one_of, whole

WORDINGS = ("instruction", "value")
SOURCE = System("source")


@dataclass(frozen=True)
class ComposedRetrieval:
    """Evaluates ways to answer at most `max_requests` requests of the task's split.

    requests: a store's tracks → the table of requests (see `triples.TRIPLE`). attributes: the tracks' columns of ground
    truth, for gained@10, kept@10 and precision@10; None where there are none. wording: what all rows read, the
    `instruction` as it is, or the new `value` alone by the first of its phrasings, as if it had been understood.
    arithmetic: weights of the words' embedding, added to the source. interpolation: weights of what is generated for
    the words, between it and the source. shares: of the `num_steps` that are inverted. head: a trained composer.
    """

    name: str
    requests: Requests | None
    attributes: Sequence[str] | None
    phrasings: Phrasings | None
    wording: str = "instruction"
    arithmetic: Sequence[float] = (0.5, 1.0)
    interpolation: Sequence[float] = (0.25, 0.5, 0.75)
    shares: Sequence[float] = (0.2, 0.4, 1.0)
    num_steps: int = 50
    num_iterations: int = 5
    max_requests: int = 600
    head: Composer | None = None

    def __post_init__(self) -> None:
        one_of("control.wording", self.wording, WORDINGS)
        for name in ("num_steps", "num_iterations", "max_requests"):
            whole(f"control.{name}", getattr(self, name), least=1)
        for name in ("arithmetic", "interpolation"):
            for weight in getattr(self, name):
                number(f"control.{name}", weight)
        for share in self.shares:
            number("control.shares", share, 0, 1)

    def size(self, experiment: Experiment) -> tuple[int, int]:
        """The most requests, and in how many ways each is generated: for its words, and at every share."""
        return min(self.max_requests, len(experiment.task.track_ids)), 1 + len(self.shares)

    def __call__(
        self,
        experiment: Experiment,
        text_encoder: TextEncoder,
        seeds: Sequence[int],
        progress: Progress = no_progress,
        expect: Progress = no_progress,
        rivals: Sequence[Experiment] = (),
    ) -> Report:
        """Evaluate every way at every strength; `extra` has the requests.

        expect: called with how many more captions `progress` will be told of. Raises InputError for a task without
        requests, for one whose requests do not fit its pool, and for rivals: a trained head is named by `control.head`.
        """
        refuse_rivals(rivals, self.name)
        if self.requests is None:
            raise InputError(
                f"task {experiment.task.name} has no composed requests; name a task that has: task=demo_composed"
            )
        attributes = list(self.attributes or [])
        asked = ComposedRequests.of(experiment, self.requests(experiment.audio.rows), attributes, self.max_requests)
        expect(len(asked) * (len(seeds) + len(self.shares)))
        with torch.inference_mode():
            states = text_encoder.encode(self.words_of(asked))
        index = index_of(experiment.audio, experiment.task, experiment.generator("composing").centre)
        bench = ComposedBench(Generator(experiment, seeds, progress), index, asked.truth.sources, states)
        protocol = {"num_requests": len(asked), "seeds": len(seeds), "wording": self.wording, "source": "not ranked"}
        return composed_report(self.rows(bench), index, asked, experiment.task, protocol)

    def words_of(self, asked: ComposedRequests) -> list[str]:
        """What stands for each request's words. Raises InputError for the value of an unknown change."""
        if self.wording == "instruction":
            return asked.instructions
        say, values = self.phrasings or as_written, [value for value in asked.values if value is not None]
        if len(values) < len(asked):
            unknown = asked.instructions[asked.values.index(None)]
            raise InputError(
                f"control.wording=value needs the new value of every request, and {unknown!r} has none among "
                "task.attributes; use control.wording=instruction"
            )
        return [say(*value)[0] for value in values]

    def rows(self, bench: ComposedBench) -> Iterator[tuple[System, Tensor]]:
        """Each way's queries (S, P, D): the source alone, the words alone, and what composes the two."""
        source, generated, embedded = bench.source(), bench.generated(), bench.embedded()
        yield SOURCE, source
        yield System(bench.experiment.model.row), generated
        if embedded is not None:
            yield TEACHER, embedded
            for weight in self.arithmetic:
                yield System("arithmetic", strength={"weight": float(weight)}), summed(source, embedded, weight)
        for weight in self.interpolation:
            yield System("interpolation", strength={"weight": float(weight)}), mixed(source, generated, weight)
        for share, edited in bench.inverted(self.shares, self.num_steps, self.num_iterations):
            yield System("inversion", strength={"share": float(share)}), edited
        if self.head is not None:
            yield System(self.head.row), bench.composed(self.head)
