"""What an encoder promises: the contracts that every adapter keeps, and the pair that a run uses."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TextStates:
    """A batch of encoded captions.

    hidden_states (B, L, C): the token states that condition the diffusion model; zero where `mask` is False.
    mask (B, L) bool: True at tokens, False at padding.
    embedding (B, P) or None: the unit-norm caption vector, for text encoders trained jointly with an audio encoder.
    num_truncated: how many of the captions were longer than the encoder takes.
    """

    hidden_states: Tensor
    mask: Tensor
    embedding: Tensor | None = None
    num_truncated: int = 0


class AudioEncoder(nn.Module):
    """Waveform windows to latents, one vector a window.

    Deterministic, and the same for a window alone or in a batch. Subclasses set the attributes and `encode`.
    """

    name: str  # as the store's card names it
    checkpoint_hash: str  # of the weights' bytes, or "random"
    frontend_version: int  # bumped by hand when the front end's numbers change
    layer: str = "projection"  # which output the latents are
    sample_rate: int  # Hz
    window_seconds: float
    dim: int  # D
    short_padding: str = "zeros"  # how a track shorter than a window fills it: "repeat", "zeros" or "reflect"

    def encode(self, windows: Tensor) -> Tensor:
        """Mono float32 windows (N, W) in [-1, 1], W = window_seconds · sample_rate, to latents (N, D) float32."""
        raise NotImplementedError(f"{type(self).__name__} must define encode")


class TextEncoder(nn.Module):
    """Captions to token states."""

    name: str
    checkpoint_hash: str
    frontend_version: int
    dim: int  # C
    embedding_dim: int | None = None  # P, or None where there is no joint space
    max_tokens: int

    def encode(self, captions: list[str]) -> TextStates:
        """Captions, the empty one among the allowed, to `TextStates` padded to the longest of them."""
        raise NotImplementedError(f"{type(self).__name__} must define encode")


@dataclass(frozen=True)
class EncoderPair:
    """One audio and one text encoder. Only a joint pair has a teacher: caption embedding against pooled audio."""

    name: str
    audio_encoder: AudioEncoder
    text_encoder: TextEncoder
    joint: bool

    def __post_init__(self):
        if self.joint and self.text_encoder.embedding_dim != self.audio_encoder.dim:
            raise ValueError(
                f"encoder_pair {self.name!r} says joint, but its audio latents have {self.audio_encoder.dim} "
                f"dimensions and its caption embeddings {self.text_encoder.embedding_dim}; set joint: false"
            )


def pool(latents: Tensor, mask: Tensor | None = None, centre: Tensor | None = None) -> Tensor:
    """The unit-norm mean over time: (…, T, D), with an optional mask (…, T) of valid frames, to (…, D).

    centre (D,): where directions are seen from, taken off the mean; by default the origin.
    """
    if mask is None:
        mean = latents.mean(dim=-2)
    else:
        weights = mask.to(latents.dtype).unsqueeze(-1)  # (..., T, 1)
        mean = (latents * weights).sum(dim=-2) / weights.sum(dim=-2).clamp(min=1)
    if centre is not None:
        mean = mean - centre.to(mean)
    return torch.nn.functional.normalize(mean, dim=-1)
