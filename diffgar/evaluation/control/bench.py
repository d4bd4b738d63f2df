"""What a steering method works with: captions that it answers, what they avoid, and the tracks that are ranked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.control.answers import Avoided
from diffgar.evaluation.control.sparse import SparseAutoencoder, learn
from diffgar.evaluation.metrics.ranks import unit_rows


class Bench(ABC):
    """P captions with their negatives, under one model, and an index (N, D) of the tracks that are ranked.

    An evaluation's is `PairBench`, a search's `CaptionBench`. What was generated is kept, because several methods start
    from the same queries.
    """

    index: Tensor

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    def unit_index(self) -> Tensor:
        """The index as unit vectors, made once."""
        return self.once("unit_index", lambda: unit_rows(self.index, "index"))

    @abstractmethod
    def plain(self) -> Tensor:
        """The queries (S, P, D) without steering, by the sampler as it is."""

    @abstractmethod
    def guided(self, form: str, guidance: float, negative: float, interval: Sequence[float] = ()) -> Tensor:
        """The queries (S, P, D) that are guided away from the negatives while they are sampled.

        form: `compose` or `replace`. guidance: the guidance scale; negative: the weight of the negatives; interval: the
        share of the noise range where guidance acts, by default the sampler's own.
        """

    @abstractmethod
    def avoided(self) -> Avoided:
        """The queries that are generated for the negatives alone, by the sampler as it is."""

    @abstractmethod
    def avoided_text(self) -> Avoided:
        """The negatives' own embeddings, in a joint pair."""

    @abstractmethod
    def teacher(self) -> Tensor:
        """The captions' own embeddings, (S, P, D), in a joint pair."""

    @abstractmethod
    def training_tracks(self) -> Tensor:
        """The tracks (N', D) that a sparse autoencoder is trained on, as unit vectors."""

    def sparse(self) -> SparseAutoencoder:
        """The sparse autoencoder of the training tracks, trained once."""
        return self.once("sparse", lambda: learn(self.training_tracks()))

    def said(self) -> "Bench":
        """The same captions, each of which says its negation in words. Raises InputError but in an evaluation."""
        raise InputError("a caption that says its negation is measured by an evaluation; choose another method")

    def parsed(self) -> "Bench":
        """The captions and the negatives that are heard in those of `said`. Raises InputError as that does."""
        return self.said()

    def has(self) -> Tensor:
        """The tracks that have what each caption avoids, (P, N) bool. Raises InputError without ground truth."""
        raise InputError("truth_filter needs the ground truth of an evaluation; choose another steering method")

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The result of `make`, which is called once per key."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]
