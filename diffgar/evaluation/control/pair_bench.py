"""The bench of an evaluation: pairs of a caption of the task and an attribute value to suppress."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.control.answers import Avoided
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.control.wording import Reworded, Saying
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.models import CaptionProjector, CaptionSource
from diffgar.evaluation.pooling import make_queries
from diffgar.evaluation.projected import projected_queries, projected_tracks
from diffgar.evaluation.queries import Progress, Steer, generated_queries, no_progress
from diffgar.models.encoders.base import pool


class Querying(Protocol):
    """Makes the queries of an experiment's model, (S, P, D), and has its training tracks in their space."""

    experiment: Experiment

    @property
    def seeds(self) -> Sequence[int]:
        """The S sampling seeds."""

    def __call__(
        self, positions: np.ndarray, steer: Steer | None = None, *, text: CaptionSource | None = None, **guidance: Any
    ) -> Tensor:
        """Queries (S, P, D) for captions of the text store, or of another `text`; guidance: fields of the sampler."""

    def training_tracks(self) -> Tensor:
        """The tracks of the dataset's train split, (N', D), as unit vectors."""


class Generator:
    """Queries that an experiment's model generates by its sampler, for S sampling seeds."""

    def __init__(self, experiment: Experiment, seeds: Sequence[int], progress: Progress = no_progress):
        self.experiment, self.seeds, self.progress = experiment, seeds, progress

    def __call__(
        self,
        positions: np.ndarray,
        steer: Steer | None = None,
        *,
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

    def training_tracks(self) -> Tensor:
        """The mean latents of the train split's tracks, (N', D), as unit vectors about the model's centre."""
        means = self.experiment.audio.means(train_rows(self.experiment))
        return pool(means.unsqueeze(1), centre=self.experiment.generator("steering").centre)


class Projector:
    """Queries of a model that projects captions, such as contrastive heads: the same for every seed."""

    seeds = (0,)

    def __init__(self, experiment: Experiment, model: CaptionProjector):
        self.experiment, self.model = experiment, model

    def __call__(
        self, positions: np.ndarray, steer: Steer | None = None, *, text: CaptionSource | None = None, **guidance: Any
    ) -> Tensor:
        """Queries (1, P, D) for captions of the text store, or of another `text`. Raises InputError for guidance."""
        if steer is not None or guidance:
            raise InputError(f"guidance steers what is sampled, and {self.experiment.name} samples nothing")
        return projected_queries(self.model, self.experiment.text if text is None else text, positions)

    def training_tracks(self) -> Tensor:
        """The train split's tracks, (N', D), in the space of the model."""
        return projected_tracks(self.model, self.experiment.audio, train_rows(self.experiment))


def train_rows(experiment: Experiment) -> np.ndarray:
    """The rows of the audio store that are of the train split. Raises InputError where there are none."""
    rows = np.flatnonzero(experiment.audio.rows["split"] == "train")
    if len(rows) == 0:
        raise InputError(
            f"task {experiment.task.name}: a sparse autoencoder is trained on the train split's tracks, and there are "
            "none; extract them too, or leave out sae and teacher_sae of control.methods"
        )
    return rows


class PairBench(Bench):
    """P pairs and the phrasings of their values, under a trained model; index (N, D): the task's tracks.

    saying: how the captions say their negations. captions: these in other words; those of the text store without them.
    """

    def __init__(
        self,
        ask: Querying,
        index: Tensor,
        pairs: Pairs,
        negatives: Negatives,
        saying: Saying | None = None,
        captions: Reworded | None = None,
    ):
        super().__init__()
        self.ask, self.index, self.pairs, self.negatives = ask, index, pairs, negatives
        self.saying, self.captions = saying, captions
        self.positions = ask.experiment.caption_positions[pairs.caption_index.numpy()]  # in the text store, (P,)

    def has(self) -> Tensor:
        """The tracks that have each pair's value, (P, N) bool."""
        return self.pairs.has

    def plain(self) -> Tensor:
        return self.once("plain", lambda: self.ask(self.positions, text=self.captions))

    def guided(self, form: str, guidance: float, negative: float, interval: Sequence[float] = ()) -> Tensor:
        asked: dict[str, Any] = {"guidance_scale": guidance} | ({"interval": tuple(interval)} if interval else {})
        return self.once(
            ("guided", form, guidance, negative, tuple(interval)),
            lambda: self.ask(self.positions, self.negatives.steer(negative, form), text=self.captions, **asked),
        )

    def avoided(self) -> Avoided:
        return self.once("avoided", self._negatives_of_queries)

    def avoided_text(self) -> Avoided:
        return Avoided(self.negatives.embeddings[None, None], torch.ones(1))

    def teacher(self) -> Tensor:
        experiment = self.ask.experiment
        own = experiment.caption_embeddings(self.positions) if self.captions is None else self.captions.embeddings
        return own.expand(len(self.ask.seeds), -1, -1)

    def training_tracks(self) -> Tensor:
        return self.once("training_tracks", self.ask.training_tracks)

    def said(self) -> Bench:
        return self.once("said", lambda: self._worded(self.negatives, self._saying().said))

    def parsed(self) -> Bench:
        return self.once("parsed", lambda: self._worded(*self._saying().heard))

    def _saying(self) -> Saying:
        """How the captions say their negations; InputError where this bench has none."""
        if self.saying is None:
            raise InputError("these pairs have no captions that say the negation; leave out the methods of that name")
        return self.saying

    def _worded(self, negatives: Negatives, captions: Reworded) -> "PairBench":
        """The same pairs with the captions in other words, and the negatives."""
        return PairBench(self.ask, self.index, self.pairs, negatives, captions=captions)

    def _negatives_of_queries(self) -> Avoided:
        """Each pair's value as its one negative."""
        vectors = self.ask(self.negatives.positions, text=self.negatives)  # (S, M, D)
        return Avoided(self.negatives.of_pairs(vectors).unsqueeze(0), torch.ones(1))
