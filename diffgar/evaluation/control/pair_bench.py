"""The bench of an evaluation: pairs of a caption of the task and an attribute value to suppress."""

from collections.abc import Callable, Sequence
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
from diffgar.evaluation.queries import Steer, generated_queries
from diffgar.evaluation.retrieval import make_queries


class Generator:
    """Queries of an experiment's model by its sampler, for S sampling seeds."""

    def __init__(self, setting: Experiment, seeds: Sequence[int], progress: Callable[[int], None]):
        self.setting, self.seeds, self.progress = setting, seeds, progress

    def __call__(
        self, rows: np.ndarray, steer: Steer | None = None, seeds: Sequence[int] | None = None, text=None, **guidance
    ) -> Tensor:
        """Queries (S, P, D) for rows of the text store, or of another `text`; guidance: fields of the sampler."""
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


class PairBench(Bench):
    """P pairs and the phrasings of their values, under a trained model; index (N, D): the task's tracks."""

    def __init__(self, generate: Generator, index: Tensor, pairs: Pairs, negatives: Negatives):
        super().__init__()
        self.generate, self.index, self.pairs, self.negatives = generate, index, pairs, negatives
        self.setting = generate.setting
        self.positions = self.setting.rows[pairs.caption_index.numpy()]  # in the text store, (P,)

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
        return self.once("avoided", lambda: self._one(self.generate(self.negatives.positions, text=self.negatives)))

    def avoided_text(self) -> Avoided:
        return self._one(self.negatives.states.embedding.unsqueeze(0))

    def teacher(self) -> Tensor:
        return self.setting.text.embeddings[self.positions].expand(len(self.generate.seeds), -1, -1)

    def _one(self, vectors: Tensor) -> Avoided:
        """The one negative of each pair, from the vectors (S, M, D) of all phrasings."""
        return Avoided(self.negatives.of_pairs(vectors).unsqueeze(0), torch.ones(1))
