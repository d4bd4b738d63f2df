"""MusCALL's audio tower (Manco et al. 2022, arXiv 2208.12208): a ResNet of CLIP's kind on log-mel spectrograms.

In pure torch; the modules have the names that the original's checkpoints need.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram

SAMPLE_RATE, SECONDS = 16_000, 20


class LogMel(nn.Module):
    """Waveforms (N, S) at 16 kHz to (N, 1, 128, S/512 + 1) dB, at most 100 dB below each clip's own maximum.

    The bank reaches to 11,025 Hz, so its top twelve bands lie above the Nyquist frequency and are empty, as they were
    in training. Checkpoints hold window and bank as `spectrogram.window` and `mel_scale.fb`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram, self.mel_scale = nn.Module(), nn.Module()
        self.spectrogram.register_buffer("window", torch.hann_window(1024))
        self.mel_scale.register_buffer("fb", mel_bank(128, 1024, SAMPLE_RATE, 0, 11_025, scale="htk"))  # (513, 128)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, S) to log-mel (N, 1, 128, S/512 + 1)."""
        window, bank = self.get_buffer("spectrogram.window"), self.get_buffer("mel_scale.fb")
        power = power_spectrogram(waveforms, 1024, 512, window) / window.square().sum()  # (N, 513, F)
        level = decibels(bank.T @ power)  # (N, 128, F)
        return level.maximum(level.amax(dim=(1, 2), keepdim=True) - 100).unsqueeze(1)


class Bottleneck(nn.Module):
    """CLIP's residual block (Radford et al. 2021, arXiv 2103.00020).

    The stride is an average pool before the last convolution, and another on the shortcut.
    """

    def __init__(self, channels: int, planes: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.stride = stride
        self.downsample = None
        if stride > 1 or channels != 4 * planes:
            self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W) to (N, 4 · planes, H / stride, W / stride)."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(self._pool(h)))
        return F.relu(h + (x if self.downsample is None else self.downsample(self._pool(x))))

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


class AttentionPool(nn.Module):
    """A map (N, C, H, W) to (N, O): its mean attends to itself and to every position, as in CLIP's ResNets."""

    def __init__(self, num_positions: int, dim: int, out_dim: int, heads: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(num_positions + 1, dim) / dim**0.5)
        self.k_proj, self.q_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.c_proj = nn.Linear(dim, out_dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) to (N, O)."""
        x = x.flatten(2).transpose(1, 2)  # (N, H·W, C)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positional_embedding  # (N, H·W + 1, C)
        projected = self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x)
        query, key, value = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in projected)  # (N, h, ·, C/h)
        pooled = F.scaled_dot_product_attention(query, key, value)  # (N, h, 1, C/h)
        return self.c_proj(pooled.transpose(1, 2).flatten(1))


def residual_layer(channels: int, planes: int, num_blocks: int, stride: int) -> nn.Sequential:
    """`num_blocks` bottlenecks from `channels` to 4 · planes; the first has the stride."""
    first = Bottleneck(channels, planes, stride)
    return nn.Sequential(first, *(Bottleneck(4 * planes, planes, 1) for _ in range(num_blocks - 1)))


class AudioBackbone(nn.Module):
    """Log-mel (N, 1, 128, 626) to (N, hidden): a ResNet of CLIP's kind, pooled by attention or by the mean.

    Checkpoints have either `attnpool.*` or `final_linear.*`.
    """

    def __init__(self, channels: int, blocks: tuple[int, ...], hidden: int, pooling: str):
        super().__init__()
        self.spec = LogMel()
        self.conv1 = nn.Conv2d(1, channels // 2, 3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels // 2, channels // 2, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(channels // 2, channels, 3, padding=1, bias=False)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(c) for c in (channels // 2, channels // 2, channels))
        self.layer1 = residual_layer(channels, channels, blocks[0], stride=1)
        self.layer2 = residual_layer(4 * channels, 2 * channels, blocks[1], stride=2)
        self.layer3 = residual_layer(8 * channels, 4 * channels, blocks[2], stride=2)
        self.layer4 = residual_layer(16 * channels, 8 * channels, blocks[3], stride=2)
        width, num_positions = 32 * channels, (128 // 32) * ((SECONDS * SAMPLE_RATE // 512 + 1) // 32)
        by_attention = pooling == "attention"
        self.attnpool = AttentionPool(num_positions, width, hidden, heads=8) if by_attention else None
        self.final_linear = nn.Identity() if by_attention else nn.Linear(width, hidden)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 128, 626) to (N, hidden)."""
        x = F.relu(self.bn1(self.conv1(mel)))  # (N, 8, 64, 313)
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)  # (N, 16, 32, 156)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N, 512, 4, 19)
        return self.final_linear(x.mean(dim=(2, 3)) if self.attnpool is None else self.attnpool(x))


class MuscallAudio(nn.Module):
    """The audio tower: log-mel (N, 1, 128, 626) to the projected embedding (N, 512), not normalised.

    blocks: the number of bottlenecks in each of the four layers. pooling: "attention" or "average".
    """

    def __init__(
        self,
        channels: int = 16,
        blocks: tuple[int, ...] = (3, 4, 6, 3),
        hidden_size: int = 256,
        projection_dim: int = 512,
        pooling: str = "attention",
    ):
        super().__init__()
        self.audio_backbone = AudioBackbone(channels, tuple(blocks), hidden_size, pooling)
        self.audio_projection = nn.Linear(hidden_size, projection_dim, bias=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 128, 626) to the embedding (N, projection_dim)."""
        return self.audio_projection(self.audio_backbone(mel))
