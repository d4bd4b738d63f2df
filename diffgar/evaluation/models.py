"""What evaluation asks of a trained model: to generate latents, or to project captions into a space of its own."""

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from diffgar.models.diffusion.guidance import Negative
from diffgar.models.diffusion.sampling import Sampler
from diffgar.text_states import TextStates


class LatentGenerator(Protocol):
    """A model whose queries are latents that it generates, as `LatentDiffusion` and `Regression` do.

    row: the name of its kind in a table. sampled: whether its queries depend on the sampler.
    """

    row: str
    sampled: bool

    @property
    def num_frames(self) -> int:
        """The most frames that it was trained on."""

    @property
    def centre(self) -> Tensor:
        """The point (D,) that is subtracted from mean latents before they are ranked."""

    def generate(
        self,
        sampler: Sampler,
        text: TextStates,
        generators: Sequence[torch.Generator],
        num_frames: int | None = None,
        negatives: Sequence[Negative] = (),
        form: str = "compose",
    ) -> Tensor:
        """Latents (B, num_frames, D) in the encoder's scale, one generator per sample; see `LatentDiffusion`."""


@runtime_checkable
class CaptionProjector(Protocol):
    """A model that projects captions and tracks into a space of its own, as `ContrastiveHeads` does.

    row, sampled: as above. A model that compares tracks part by part has an attribute `segments` of how many parts;
    its `embed_audio` takes the means of a track's equal parts (N, segments, D).
    """

    row: str
    sampled: bool

    def embed_text(self, text: TextStates) -> Tensor:
        """Captions (B) to unit vectors (B, P)."""

    def embed_audio(self, means: Tensor) -> Tensor:
        """Mean latents (N, D) in the encoder's scale to unit vectors (N, P)."""


Model = LatentGenerator | CaptionProjector


class CaptionSource(Protocol):
    """A text store, or what stands for one: the token states of captions by their positions.

    purpose: what the noise of its captions is for, so that no other captions have the same (see `seed_of`).
    """

    purpose: ClassVar[str]

    def padded(self, rows: np.ndarray) -> TextStates:
        """The captions at these positions (B), padded to the longest of them."""
