"""How much an evaluation of steering methods will generate, found by asking each method once, of next to nothing."""

from collections.abc import Hashable, Iterable, Sequence
from copy import copy

import torch
from torch import Tensor

from diffgar.evaluation.control.answers import Avoided
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.control.methods import SteeringMethod
from diffgar.evaluation.control.sparse import SparseAutoencoder
from diffgar.evaluation.report import System


class Tally(Bench):
    """A bench of one caption and one track, which generates nothing and remembers what it was asked to generate.

    ways: the different ways to generate the captions' queries. negatives: in which wordings the negatives' own queries
    are generated too.
    """

    def __init__(self, systems: Iterable[tuple[SteeringMethod, System]]):
        super().__init__()
        self.index = torch.ones(1, 1)
        self.ways: set[Hashable] = set()
        self.negatives: set[Hashable] = set()
        self.wording: Hashable = None  # of the captions that are asked for
        for method, system in systems:
            method.answer(self, system.strength)

    def num_queries(self, num_pairs: int, num_negatives: int, num_seeds: int, num_heard: int = 0) -> int:
        """How many queries are generated for so many pairs with so many phrasings of negatives.

        num_heard: the different negatives that are heard in captions which say them.
        """
        of_wordings: list[int] = [num_heard if wording else num_negatives for wording in self.negatives]
        return num_seeds * (len(self.ways) * num_pairs + sum(of_wordings))

    def plain(self) -> Tensor:
        return self._generated("plain")

    def guided(self, form: str, guidance: float, negative: float, interval: Sequence[float] = ()) -> Tensor:
        return self._generated((form, guidance, negative, tuple(interval)))

    def avoided(self) -> Avoided:
        self.negatives.add(self.wording)
        return self.avoided_text()

    def avoided_text(self) -> Avoided:
        return Avoided(torch.ones(1, 1, 1, 1), torch.ones(1))

    def teacher(self) -> Tensor:
        return torch.ones(1, 1, 1)

    def has(self) -> Tensor:
        return torch.zeros(1, 1, dtype=torch.bool)

    def training_tracks(self) -> Tensor:
        return torch.ones(1, 1)

    def sparse(self) -> SparseAutoencoder:
        return SparseAutoencoder(torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1), active=1)

    def said(self) -> Bench:
        return self._worded("said")

    def parsed(self) -> Bench:
        return self._worded("parsed")

    def _worded(self, wording: Hashable) -> Bench:
        """The same tally, of captions in other words."""
        other = copy(self)
        other.wording = wording
        return other

    def _generated(self, way: Hashable) -> Tensor:
        self.ways.add((self.wording, way))
        return torch.ones(1, 1, 1)
