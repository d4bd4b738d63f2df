"""What a trained model is evaluated with: its stores, task and sampler."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.evaluation.models import CaptionProjector, LatentGenerator, Model
from diffgar.evaluation.queries import caption_positions, track_positions
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.models.diffusion.sampling import Sampler


@dataclass
class Experiment:
    """A model at a step, the sampler that makes its queries, and the task's stores.

    trained: the config that the model was trained with, resolved, as nested dicts. as_trained: the sampler of that
    config. seen: how many of the task's tracks the model was trained on, None where its folder does not say.
    """

    name: str
    model: Model
    step: int
    trained: dict[str, Any]
    sampler: Sampler
    as_trained: Sampler
    audio: Store
    text: TextStore
    task: RetrievalTask
    seen: int | None

    @property
    def pair(self) -> str:
        """The name of the encoder pair."""
        return self.trained["encoder_pair"]["name"]

    @property
    def joint(self) -> bool:
        """Whether captions and tracks have embeddings in one space, as a teacher needs them."""
        return self.text.embeddings is not None

    @cached_property
    def caption_positions(self) -> np.ndarray:
        """Where the task's captions stand in the text store, (Q,)."""
        return caption_positions(self.text, self.task)

    @cached_property
    def track_positions(self) -> np.ndarray:
        """Where the task's tracks stand in the audio store, (N,)."""
        return track_positions(self.audio, self.task)

    def caption_embeddings(self, positions: np.ndarray, what: str = "the teacher") -> Tensor:
        """The embeddings (n, P) of captions at these positions of the text store, in the space of the tracks.

        Raises InputError, which says that `what` needs them, where the pair is not joint.
        """
        if self.text.embeddings is None:
            raise InputError(f"{what} needs a joint pair, and {self.pair} is not one")
        return self.text.embeddings[positions]

    def generator(self, what: str = "this evaluation") -> LatentGenerator:
        """The model. Raises InputError, which says that `what` needs latents, where it generates none."""
        if isinstance(self.model, CaptionProjector):
            raise InputError(
                f"{what} needs generated latents, and {self.name} ({self.model.row}) projects captions without "
                "generating any; name another model_name"
            )
        return self.model
