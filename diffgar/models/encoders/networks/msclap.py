"""The two networks of Microsoft's CLAP of 2023: HTSAT and GPT-2 as `transformers` has them, each with a projection.

The original's settings name a filter bank for 44.1 kHz and from 50 to 8,000 Hz, but its network is built without them:
audio at 44.1 kHz goes through the bank for 32 kHz and up to 14,000 Hz. Checkpoints hold the bank, and bring it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ClapAudioConfig, GPT2Config, GPT2Model
from transformers.models.clap.modeling_clap import ClapAudioModel

from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram


class Projection(nn.Module):
    """Vectors (N, C) to the joint space (N, D): a linear map and a layer beside it."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.linear1 = nn.Linear(width, dim, bias=False)
        self.linear2 = nn.Linear(dim, dim, bias=False)
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (N, C) to (N, D)."""
        mapped = self.linear1(vectors)  # (N, D)
        return self.layer_norm(mapped + self.linear2(F.gelu(mapped)))


class MsClapAudio(nn.Module):
    """The audio network: 64 mel bands in dB, HTSAT, projection."""

    bank: Tensor  # (513, 64)
    window: Tensor  # (1024,)

    def __init__(self, config: ClapAudioConfig, dim: int):
        super().__init__()
        self.register_buffer("bank", mel_bank(64, 1024, 32_000, 50, 14_000, scale="slaney", norm="slaney"))
        self.register_buffer("window", torch.hann_window(1024), persistent=False)
        self.audio_model = ClapAudioModel(config)
        self.projection = Projection(config.hidden_size, dim)

    def mel(self, windows: Tensor) -> Tensor:
        """Windows (N, 308700) to log-mel (N, 1, 965, 64)."""
        power = power_spectrogram(windows, 1024, 320, self.window)  # (N, 513, 965)
        return decibels(power.transpose(1, 2) @ self.bank).unsqueeze(1)  # (N, 1, 965, 64)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 965, 64) to embeddings (N, D)."""
        return self.projection(self.audio_model(mel).pooler_output)


class MsClapText(nn.Module):
    """The text network: GPT-2, and a projection of the state at a caption's end."""

    def __init__(self, config: GPT2Config, dim: int):
        super().__init__()
        self.gpt2 = GPT2Model(config)
        self.projection = Projection(config.hidden_size, dim)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and mask (B, L) to states (B, L, C) and embeddings (B, D).

        As in the original, a caption ends where as many tokens are counted as are not token 0, which pads and is the
        exclamation mark: a caption with one is projected from a token before its end.
        """
        states = self.gpt2(input_ids=ids, attention_mask=mask.long()).last_hidden_state  # (B, L, C)
        end = ((ids != 0) & mask).sum(dim=1).sub(1).clamp(min=0)  # (B,)
        return states, self.projection(states[torch.arange(len(ids), device=ids.device), end])
