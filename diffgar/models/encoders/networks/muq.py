"""MuQ-MuLan's audio tower (Zhu et al. 2025, arXiv 2501.01108): MuQ's conformer on log-mel, and a transformer.

The conformer is that of `transformers`; the modules have the names that the published checkpoint needs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoder

from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram
from diffgar.models.encoders.networks.muq_transformer import Transformer, TransformerSizes

SAMPLE_RATE, SECONDS, BANDS = 24_000, 10, 128


class FrontEnd(nn.Module):
    """24 kHz waveforms (N, S) to 128 HTK mel bands up to 12 kHz in dB (N, 1, 128, S/240), standardised.

    mean, std: of the training data's decibels.
    """

    bank: Tensor  # (1025, 128)
    window: Tensor  # (2048,)

    def __init__(self, mean: float, std: float):
        super().__init__()
        self.mean, self.std = mean, std
        self.register_buffer("bank", mel_bank(BANDS, 2048, SAMPLE_RATE, 0, 12_000, scale="htk"), persistent=False)
        self.register_buffer("window", torch.hann_window(2048), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, S) to log-mel (N, 1, 128, S/240); the spectrogram's last frame is dropped."""
        power = power_spectrogram(waveforms, 2048, 240, self.window)[..., :-1]  # (N, 1025, F)
        return ((decibels(self.bank.T @ power) - self.mean) / self.std).unsqueeze(1)


class ResidualBlock(nn.Module):
    """Two convolutions beside a third, of which the first and the third halve both axes."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out_channels, 3, 2, 1), nn.BatchNorm2d(out_channels)
        self.conv2, self.bn2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1), nn.BatchNorm2d(out_channels)
        self.conv3, self.bn3 = nn.Conv2d(channels, out_channels, 3, 2, 1), nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W) to (N, out_channels, H/2, W/2)."""
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.bn3(self.conv3(x)))


class Subsampling(nn.Module):
    """Log-mel (N, 1, 128, F) to features (N, F/4, out_dim), 25 per second."""

    def __init__(self, channels: int, out_dim: int):
        super().__init__()
        self.conv = nn.Sequential(ResidualBlock(1, channels), ResidualBlock(channels, channels))
        self.linear = nn.Linear(channels * BANDS // 4, out_dim)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 128, F) to (N, F/4, out_dim)."""
        x = self.conv(mel)  # (N, C, 32, F/4)
        return self.linear(x.permute(0, 3, 1, 2).flatten(2))


class Muq(nn.Module):
    """MuQ: log-mel (N, 1, 128, F) to the conformer's last hidden states (N, F/4, hidden_size)."""

    def __init__(self, conformer: Wav2Vec2ConformerConfig, conv_dim: int):
        super().__init__()
        self.conv = Subsampling(conv_dim, conformer.hidden_size)
        self.conformer = Wav2Vec2ConformerEncoder(conformer)  # type: ignore[no-untyped-call]  # it declares no types
        del self.conformer.pos_conv_embed  # which no forward pass of it uses

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 128, F) to hidden states (N, F/4, hidden_size)."""
        return self.conformer(self.conv(mel)).last_hidden_state


class AudioTower(nn.Module):
    """Log-mel (N, 1, 128, F) to the mean over time of the transformer's states (N, dim)."""

    def __init__(self, conformer: Wav2Vec2ConformerConfig, conv_dim: int, sizes: TransformerSizes):
        super().__init__()
        self.model = nn.ModuleDict({"model": Muq(conformer, conv_dim)})
        self.proj = nn.Linear(conformer.hidden_size, sizes.dim)
        self.transformer = Transformer(sizes)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 128, F) to (N, dim)."""
        hidden_states = self.proj(self.model["model"](mel))  # (N, F/4, dim)
        return self.transformer(hidden_states).mean(dim=1)


class MuqAudio(nn.Module):
    """Log-mel (N, 1, 128, F) to unit-norm audio embeddings (N, latent_dim)."""

    def __init__(self, conformer: Wav2Vec2ConformerConfig, conv_dim: int, sizes: TransformerSizes, latent_dim: int):
        super().__init__()
        tower = AudioTower(conformer, conv_dim, sizes)
        self.mulan = nn.ModuleDict({"audio": tower, "audio_to_latents": nn.Linear(sizes.dim, latent_dim)})

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 128, F) to (N, latent_dim)."""
        return F.normalize(self.mulan["audio_to_latents"](self.mulan["audio"](mel)), dim=-1)
