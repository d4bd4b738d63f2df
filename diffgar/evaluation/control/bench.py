"""What all steering methods share: one model, its index, and the queries that it generates for the pairs."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.models import CaptionSource
from diffgar.evaluation.queries import Progress, Steer, generated_queries
from diffgar.evaluation.retrieval import make_queries


@dataclass(eq=False)
class Bench:
    """A trained model, the index (N, D) of its task, and S sampling seeds.

    What was generated for some pairs is kept, because several methods start from the same queries.
    """

    experiment: Experiment
    index: Tensor
    seeds: Sequence[int]
    progress: Progress
    kept: dict[Hashable, Tensor] = field(init=False, default_factory=dict)

    def generate(
        self,
        positions: np.ndarray,
        steer: Steer | None = None,
        seeds: Sequence[int] | None = None,
        text: CaptionSource | None = None,
        **guidance: Any,
    ) -> Tensor:
        """Queries (S, P, D) for captions of the text store, or of another `text`; guidance: fields of the sampler."""
        model = self.experiment.generator("steering")
        return generated_queries(
            model,
            replace(self.experiment.sampler, **guidance),
            self.experiment.text if text is None else text,
            positions,
            self.seeds if seeds is None else seeds,
            partial(make_queries, centre=model.centre),
            steer,
            self.progress,
        )

    def plain(self, pairs: Pairs) -> Tensor:
        """The queries (S, P, D) without steering, by the sampler as it is."""
        return self._once(("plain", pairs), lambda: self.generate(self._captions(pairs)))

    def guided(
        self,
        pairs: Pairs,
        negatives: Negatives,
        form: str,
        guidance: float,
        negative: float,
        interval: Sequence[float] = (),
    ) -> Tensor:
        """The queries (S, P, D) that are guided away from the negatives while they are sampled.

        form: `compose` or `replace`. guidance: the guidance scale; negative: the weight of the negative; interval: the
        share of the noise range where guidance acts, by default the sampler's own.
        """
        asked: dict[str, Any] = {"guidance_scale": guidance} | ({"interval": tuple(interval)} if interval else {})
        return self._once(
            ("guided", pairs, negatives, form, guidance, negative, tuple(interval)),
            lambda: self.generate(self._captions(pairs), negatives.steer(negative, form), **asked),
        )

    def avoided(self, negatives: Negatives) -> Tensor:
        """The queries (S, P, D) that are generated for the attribute values alone, by the sampler as it is."""
        return self._once(
            ("avoided", negatives),
            lambda: negatives.of_pairs(self.generate(negatives.positions, text=negatives)),
        )

    def teacher(self, pairs: Pairs) -> Tensor:
        """The captions' own embeddings, (S, P, D), in a joint pair."""
        return self.experiment.caption_embeddings(self._captions(pairs)).expand(len(self.seeds), -1, -1)

    def _captions(self, pairs: Pairs) -> np.ndarray:
        """Where the pairs' captions stand in the text store, (P,)."""
        return self.experiment.caption_positions[pairs.caption_index.numpy()]

    def _once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The queries that are kept under this key; they are made the first time."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]
