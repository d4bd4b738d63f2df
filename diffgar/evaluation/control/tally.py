"""How much an evaluation of steering methods will generate, found by asking each method once, of next to nothing."""

from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import Tensor

from diffgar.evaluation.control.answers import Avoided
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.control.methods import SteeringMethod
from diffgar.evaluation.report import System


class Tally(Bench):
    """A bench of one caption and one track, which generates nothing and remembers what it was asked to generate.

    ways: the different ways to generate the captions' queries. negatives: whether the negatives' own queries are
    generated too.
    """

    def __init__(self, systems: Iterable[tuple[SteeringMethod, System]]):
        super().__init__()
        self.index = torch.ones(1, 1)
        self.ways: set[Hashable] = set()
        self.negatives = False
        for method, system in systems:
            method.answer(self, system.strength)

    def num_queries(self, num_pairs: int, num_negatives: int, num_seeds: int) -> int:
        """How many queries are generated for so many pairs with so many phrasings of negatives."""
        return num_seeds * (len(self.ways) * num_pairs + (num_negatives if self.negatives else 0))

    def plain(self) -> Tensor:
        return self._generated("plain")

    def guided(self, form: str, guidance: float, negative: float, interval: Sequence[float] = ()) -> Tensor:
        return self._generated((form, guidance, negative, tuple(interval)))

    def avoided(self) -> Avoided:
        self.negatives = True
        return self.avoided_text()

    def avoided_text(self) -> Avoided:
        return Avoided(torch.ones(1, 1, 1, 1), torch.ones(1))

    def teacher(self) -> Tensor:
        return torch.ones(1, 1, 1)

    def has(self) -> Tensor:
        return torch.zeros(1, 1, dtype=torch.bool)

    def _generated(self, way: Hashable) -> Tensor:
        self.ways.add(way)
        return torch.ones(1, 1, 1)
