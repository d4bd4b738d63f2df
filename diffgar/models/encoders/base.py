"""The contracts of audio and text encoders, and the pair of them that a run uses."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffgar.models.encoders.contract import GIVEN, PairError, check_audio, check_text, kind_of
from diffgar.text_states import TextStates


class AudioEncoder(nn.Module):
    """Waveform windows to latents, one vector per window.

    It is deterministic, and a window has the same latents alone and in a batch. Subclasses set the attributes and
    define `encode`.
    """

    name: str  # in the store's card and path
    checkpoint_hash: str  # of the weights' bytes, or "random"
    frontend_version: int  # bumped by hand when the same weights give other latents
    layer: str = "projection"  # the output that is taken as latents
    sample_rate: int  # Hz
    window_seconds: float
    dim: int  # D
    short_padding: str = "zeros"  # how a track shorter than a window fills it: "repeat", "wrap", "zeros" or "reflect"

    def encode(self, windows: Tensor) -> Tensor:
        """Mono float32 windows (N, W) in [-1, 1], W = window_seconds · sample_rate, to latents (N, D) float32."""
        raise NotImplementedError(f"{type(self).__name__} must define encode")


class TextEncoder(nn.Module):
    """Captions to token states.

    It is deterministic, and a caption has the same states alone and in a batch. Subclasses set the attributes and
    define `encode`; `name`, `checkpoint_hash` and `frontend_version` are as for `AudioEncoder`.
    """

    name: str
    checkpoint_hash: str
    frontend_version: int
    layer: str = "last_hidden_state"  # the states that are taken, and what was put before the captions
    dim: int  # C
    embedding_dim: int | None = None  # P, of captions' vectors, or None where it gives none
    max_tokens: int  # longer captions are truncated

    def encode(self, captions: list[str]) -> TextStates:
        """Captions (B), which may be empty strings, to `TextStates` padded to the longest of them."""
        raise NotImplementedError(f"{type(self).__name__} must define encode")


@dataclass(frozen=True)
class EncoderPair:
    """One audio and one text encoder.

    audio_encoder: an `AudioEncoder`, or latents that were computed elsewhere (`layer` "given"), which need no `encode`.
    joint: whether captions and audio share one space; only then is there a teacher, which compares caption embeddings
    with pooled audio. Raises PairError for an encoder that breaks its contract, naming its class and the attribute.
    """

    name: str
    audio_encoder: AudioEncoder
    text_encoder: TextEncoder
    joint: bool

    def __post_init__(self) -> None:
        check_audio(self.audio_encoder, AudioEncoder)
        check_text(self.text_encoder, TextEncoder)
        given = getattr(self.audio_encoder, "layer", None) == GIVEN
        if self.joint and self.text_encoder.embedding_dim != self.audio_encoder.dim:
            raise PairError(
                f"encoder_pair {self.name!r} says joint, but its audio latents have {self.audio_encoder.dim} "
                f"dimensions and its caption embeddings {self.text_encoder.embedding_dim}; set joint: false"
                + (" or name the text encoder that was trained with what made the latents" if given else "")
            )

    def check(self, *, latent_dim: int, text_dim: int, audio_name: str, text_name: str) -> None:
        """Raises PairError if the pair's YAML has another width or name than the encoders.

        A wrong one would otherwise surface only after everything was encoded: the names are part of the stores' paths,
        and the widths are used in training.
        """
        declared = {
            "latent_dim": (latent_dim, self.audio_encoder, "dim"),
            "text_dim": (text_dim, self.text_encoder, "dim"),
            "audio_name": (audio_name, self.audio_encoder, "name"),
            "text_name": (text_name, self.text_encoder, "name"),
        }
        for key, (value, encoder, attribute) in declared.items():
            found = getattr(encoder, attribute)
            if value != found:
                raise PairError(
                    f"encoder_pair {self.name!r} says {key}: {value}, but the {attribute} of its {kind_of(encoder)} is "
                    f"{found}, and the two must be equal. Set {key}: {found} in the pair's YAML, or "
                    f"encoder_pair.{key}={found}"
                )


def pool(latents: Tensor, mask: Tensor | None = None, centre: Tensor | None = None) -> Tensor:
    """The unit-norm mean over time: latents (…, T, D), with an optional mask (…, T) of valid frames, to (…, D).

    centre (D,): the point that is subtracted from the mean, so that directions are relative to it; by default the
    origin.
    """
    if mask is None:
        mean = latents.mean(dim=-2)
    else:
        weights = mask.to(latents.dtype).unsqueeze(-1)  # (..., T, 1)
        mean = (latents * weights).sum(dim=-2) / weights.sum(dim=-2).clamp(min=1)
    if centre is not None:
        mean = mean - centre.to(mean)
    return torch.nn.functional.normalize(mean, dim=-1)
