"""What a trained model is evaluated with: its stores, task and sampler."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from diffgar.dataloading.store.reader import Store, TextStore
from diffgar.errors import InputError
from diffgar.evaluation.queries import caption_rows, track_rows
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.models.diffusion.sampling import Sampler


@dataclass
class Experiment:
    """A model at a step, the sampler that makes its queries, and the task's stores.

    trained: the config that the model was trained with, resolved, as nested dicts. as_trained: the sampler of that
    config. seen: how many of the task's tracks the model was trained on, None where its folder does not say.
    """

    name: str
    model: torch.nn.Module
    step: int
    trained: dict
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
    def rows(self) -> np.ndarray:
        """Where the task's captions stand in the text store, (Q,)."""
        return caption_rows(self.text, self.task)

    @cached_property
    def track_rows(self) -> np.ndarray:
        """Where the task's tracks stand in the audio store, (N,)."""
        return track_rows(self.audio, self.task)

    def require_sampling(self, what: str) -> "Experiment":
        """Refuse (InputError) a model that generates no latents for what needs them."""
        if hasattr(self.model, "embed_text"):
            raise InputError(
                f"{what} needs generated latents, and {self.name} ({self.model.row}) projects captions without "
                "generating any; name another model_name"
            )
        return self
