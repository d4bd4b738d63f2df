"""The bench of an evaluation: pairs of a caption of the task and an attribute value to suppress."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffgar.evaluation.control.answers import Avoided
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.models import CaptionSource
from diffgar.evaluation.pooling import make_queries
from diffgar.evaluation.queries import Progress, Steer, generated_queries, no_progress


class Generator:
    """Queries of an experiment's model by its sampler, for S sampling seeds."""

    def __init__(self, experiment: Experiment, seeds: Sequence[int], progress: Progress = no_progress):
        self.experiment, self.seeds, self.progress = experiment, seeds, progress

    def __call__(
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
            [partial(make_queries, centre=model.centre)],
            steer,
            self.progress,
        )[0]


class PairBench(Bench):
    """P pairs and the phrasings of their values, under a trained model; index (N, D): the task's tracks."""

    def __init__(self, generate: Generator, index: Tensor, pairs: Pairs, negatives: Negatives):
        super().__init__()
        self.generate, self.index, self.pairs, self.negatives = generate, index, pairs, negatives
        self.positions = generate.experiment.caption_positions[pairs.caption_index.numpy()]  # in the text store, (P,)

    def has(self) -> Tensor:
        """The tracks that have each pair's value, (P, N) bool."""
        return self.pairs.has

    def plain(self) -> Tensor:
        return self.once("plain", lambda: self.generate(self.positions))

    def guided(self, form: str, guidance: float, negative: float, interval: Sequence[float] = ()) -> Tensor:
        asked: dict[str, Any] = {"guidance_scale": guidance} | ({"interval": tuple(interval)} if interval else {})
        return self.once(
            ("guided", form, guidance, negative, tuple(interval)),
            lambda: self.generate(self.positions, self.negatives.steer(negative, form), **asked),
        )

    def avoided(self) -> Avoided:
        return self.once("avoided", self._generated_negatives)

    def avoided_text(self) -> Avoided:
        return Avoided(self.negatives.embeddings[None, None], torch.ones(1))

    def teacher(self) -> Tensor:
        return self.generate.experiment.caption_embeddings(self.positions).expand(len(self.generate.seeds), -1, -1)

    def _generated_negatives(self) -> Avoided:
        """Each pair's value as its one negative."""
        vectors = self.generate(self.negatives.positions, text=self.negatives)  # (S, M, D)
        return Avoided(self.negatives.of_pairs(vectors).unsqueeze(0), torch.ones(1))
