"""The networks of the demo's encoder pair, and the audio front end."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.encoders.networks.mel import mel_bank

DIM = 128  # of the joint space


class LogMel(nn.Module):
    """Waveforms (N, S) to log-mel frames (N, F, M), every 40 ms; each frame sees 64 ms.

    No padding at the ends, so that the frames of a window are those of the track it was cut from, for windows that
    start on a multiple of `hop`.
    """

    sample_rate, n_fft, hop, num_mels = 16_000, 1024, 640, 64
    taper: Tensor  # (n_fft,)
    filters: Tensor  # (n_fft/2 + 1, M)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("taper", torch.hann_window(self.n_fft), persistent=False)
        filters = mel_bank(self.num_mels, self.n_fft, self.sample_rate, f_min=30.0, f_max=7800.0, scale="htk")
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, S) at 16 kHz to log-mel frames (N, F, M)."""
        return torch.cat([self._frames(part) for part in waveforms.split(8)])  # parts that fit the cache: twice as fast

    def _frames(self, waveforms: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(waveforms.unfold(-1, self.n_fft, self.hop) * self.taper)  # (N, F, n_fft/2 + 1)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power @ self.filters + 1e-4).log()  # (N, F, M)


class AudioTower(nn.Module):
    """Log-mel frames (N, F, M) to unit vectors (N, 128). Loudness does not matter: each window's mean is taken off."""

    def __init__(self, num_mels: int = LogMel.num_mels, widths: tuple[int, ...] = (16, 48, 96, 192), hidden: int = 256):
        super().__init__()
        channels = (1, *widths)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=2, padding=1, bias=False) for i, o in zip(channels, widths, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.bands = nn.Linear(2 * widths[-1] * num_mels // 2 ** len(widths), hidden)
        self.projection = nn.Linear(hidden, DIM)

    def forward(self, frames: Tensor) -> Tensor:
        """Log-mel frames (N, F, M) of a window to its unit vector (N, 128)."""
        frames = (frames - frames.mean(dim=(1, 2), keepdim=True)) / 3
        x = frames.unsqueeze(1).to(memory_format=torch.channels_last)  # (N, 1, F, M)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        x = torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1).flatten(1)  # (N, 2 · 192 · 4): over time, bands kept
        return F.normalize(self.projection(F.relu(self.bands(x))), dim=-1)  # (N, 128)


class Block(nn.Module):
    """A transformer block, normalised first: self-attention (L, C) and two layers, each added to its input."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, C) to states of the same shape; mask (B, L) is True at tokens."""
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (3, B, h, L, C/h)
        query, key, value = qkv
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])  # (B, h, L, C/h)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, dim))
        return x + self.mlp(self.norm2(x))
