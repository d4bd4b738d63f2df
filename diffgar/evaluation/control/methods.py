"""The ways to be rid of an attribute: what each makes of the same (caption, attribute) pairs.

Generated forms need no joint space: `replace` and `compose` steer the diffusion, `compose_within` in an interval of the
noise range alone, `query_arithmetic` subtracts one generated query from another, and `query_penalty` and
`compose_penalty` mark down the tracks that are near to the negative's generated query. The others need the teacher's
space: `text_arithmetic`, `text_penalty` and `compose_text_penalty` do that with the attribute's embedding,
`teacher_arithmetic` and `teacher_penalty` do it to the caption's own embedding, `teacher_filter` drops the tracks that
score highest on the attribute. `truth_filter` drops those that have it by ground truth: the ceiling.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import repeat

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.measures import Answer, Unwanted, dropping, hinge_penalty
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import Steer, generated_queries
from diffgar.evaluation.retrieval import make_queries

GENERATED = ("replace", "compose", "compose_within", "query_arithmetic", "query_penalty", "compose_penalty")
JOINT = (
    "text_arithmetic",
    "text_penalty",
    "compose_text_penalty",
    "teacher_arithmetic",
    "teacher_penalty",
    "teacher_filter",
)


@dataclass(frozen=True)
class Bench:
    """A trained model, the index of its task, and how its queries are sampled."""

    setting: Experiment
    index: Tensor
    seeds: Sequence[int]
    progress: Callable

    def generate(
        self, rows: np.ndarray, steer: Steer | None = None, seeds: Sequence[int] | None = None, text=None, **guidance
    ) -> Tensor:
        """Queries (S, P, D) for rows of the text store, or of another `text`."""
        setting = self.setting
        return generated_queries(
            setting.model,
            replace(setting.sampler, **guidance),
            setting.text if text is None else text,
            rows,
            setting.model.num_frames,
            self.seeds if seeds is None else seeds,
            partial(make_queries, centre=setting.model.centre),
            steer,
            self.progress,
        )


@dataclass(eq=False)
class Methods:
    """The answers of every method to the same pairs."""

    bench: Bench
    unwanted: Unwanted
    negatives: Negatives
    # what guidance made, for the methods that go on from it
    steered: dict[tuple, Tensor] = field(init=False, default_factory=dict)

    def answers(self, methods: Mapping[str, Sequence]) -> Iterator[tuple[str, Answer]]:
        """`plain` and each method at each of its strengths, named "method strength", made one at a time.

        Methods that need a joint space are left out of a pair that is not.
        """
        yield "plain", Answer(self.plain)
        yield "truth_filter", self._dropping(self.unwanted.has)
        for method, strengths in methods.items():
            if method in JOINT and not self.joint:
                continue
            for strength in strengths:
                name = " ".join([method, *(f"{number:g}" for number in numbers(strength))])
                yield name, getattr(self, method)(*numbers(strength))

    @property
    def joint(self) -> bool:
        return self.bench.setting.joint

    @cached_property
    def rows(self) -> np.ndarray:
        """Where the pairs' captions stand in the text store, (P,)."""
        return self.bench.setting.rows[self.unwanted.captions.numpy()]

    @cached_property
    def plain(self) -> Tensor:
        return self.bench.generate(self.rows)  # (S, P, D)

    @cached_property
    def avoided(self) -> Tensor:
        """The query (S, P, D) that is generated for the attribute alone, with the plain sampler."""
        return self.negatives.of_pairs(self.bench.generate(self.negatives.rows, text=self.negatives))

    @cached_property
    def avoided_text(self) -> Tensor:
        """The attribute's embedding, (P, D), in a joint pair."""
        return self.negatives.of_pairs(self.negatives.states.embedding)

    @cached_property
    def teacher(self) -> Tensor:
        """The captions' own embeddings, (S, P, D)."""
        return self.bench.setting.text.embeddings[self.rows].expand(len(self.bench.seeds), -1, -1)

    def replace(self, scale: float) -> Answer:
        return Answer(self._steered("replace", scale, 1.0))

    def compose(self, scale: float, weight: float, *interval: float) -> Answer:
        return Answer(self._steered("compose", scale, weight, *interval))

    compose_within = compose  # the same with an interval, as a curve of its own

    def compose_penalty(self, strength: float, *composed: float) -> Answer:
        return self._penalised(self.compose(*composed).queries, self.avoided, strength)

    def compose_text_penalty(self, strength: float, *composed: float) -> Answer:
        return self._penalised(self.compose(*composed).queries, self.avoided_text, strength)

    def query_penalty(self, strength: float) -> Answer:
        return self._penalised(self.plain, self.avoided, strength)

    def text_penalty(self, strength: float) -> Answer:
        return self._penalised(self.plain, self.avoided_text, strength)

    def teacher_penalty(self, strength: float) -> Answer:
        return self._penalised(self.teacher, self.avoided_text, strength)

    def query_arithmetic(self, strength: float) -> Answer:
        return Answer(F.normalize(self.plain - strength * self.avoided, dim=-1))

    def text_arithmetic(self, strength: float) -> Answer:
        return Answer(F.normalize(self.plain - strength * self.avoided_text, dim=-1))

    def teacher_arithmetic(self, strength: float) -> Answer:
        return Answer(F.normalize(self.teacher - strength * self.avoided_text, dim=-1))

    def teacher_filter(self, share: float) -> Answer:
        scores = self.avoided_text @ self.bench.index.T  # (P, N)
        return self._dropping(scores >= scores.quantile(1 - share, dim=1, keepdim=True))

    def _steered(self, form: str, scale: float, weight: float, *interval: float) -> Tensor:
        key = form, scale, weight, interval
        if key not in self.steered:
            guidance = {"guidance_scale": scale} | ({"interval": interval} if interval else {})
            self.steered[key] = self.bench.generate(self.rows, self.negatives.steer(weight, form), **guidance)
        return self.steered[key]

    def _dropping(self, tracks: Tensor) -> Answer:
        return Answer(self.plain, repeat(dropping(tracks)))

    def _penalised(self, queries: Tensor, negatives: Tensor, strength: float) -> Answer:
        """negatives (S, P, D) or (P, D); the penalties, as large as the pool, are made when they are needed."""
        pairs = zip(queries, negatives.expand(len(queries), -1, -1), strict=True)
        return Answer(queries, (hinge_penalty(*pair, self.bench.index, strength) for pair in pairs))


def numbers(strength) -> list[float]:
    return [float(part) for part in (strength if isinstance(strength, Sequence) else [strength])]
