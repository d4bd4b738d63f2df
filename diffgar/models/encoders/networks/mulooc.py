"""The slow-fast NFNet of MuLOOC and LOEV (Pliploop/MuLOVR): the structure of MULE's network from other layers.

It has plain convolutions with batch norm in the stems, the blocks of `mulooc_layers.py`, and fusion along time: the
slow path grows from 19 to 91 positions. Neither network loads the other's weights.

Written from a description and the checkpoints' names, and compared with the original: ReLU stands between a block's
convolutions and not after the last, as in MULE, after every batch norm of the stems, and after both convolutions of a
fusion.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram
from diffgar.models.encoders.networks.mule import SAMPLE_RATE
from diffgar.models.encoders.networks.mule_layers import ALPHA, activation
from diffgar.models.encoders.networks.mulooc_layers import Block, WSConv


class FrontEnd(nn.Module):
    """16 kHz waveforms (N, S) to 96 HTK mel bands up to 8 kHz in dB (N, 1, 96, S/160 + 1)."""

    bank: Tensor  # (1025, 96)
    window: Tensor  # (400,)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", mel_bank(96, 2048, SAMPLE_RATE, 0, 8000, scale="htk"), persistent=False)
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, S) to log-mel (N, 1, 96, S/160 + 1)."""
        return decibels(self.bank.T @ power_spectrogram(waveforms, 2048, 160, self.window)).unsqueeze(1)


class Stage(nn.Module):
    """`num_blocks` residual blocks, its arguments as in MULE."""

    def __init__(self, index: int, channels: int, out_channels: int, group_size: int, num_blocks: int, stride: int):
        super().__init__()
        variance = 1.0 if index == 0 else 1 + ALPHA**2
        self.blocks = nn.Sequential()
        for block in range(num_blocks):
            first = block == 0
            beta, block_stride = variance**-0.5, stride if first else 1
            self.blocks.append(Block(channels, out_channels, group_size, beta, block_stride, first))
            channels, variance = out_channels, variance + ALPHA**2

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W) to (N, out_channels, H / stride, W)."""
        return self.blocks(x)


class Stem(nn.Module):
    """Four convolutions, each with batch norm and ReLU; the first and the last subsample, the last by 2 × 2."""

    def __init__(self, channels: Sequence[int], kernels: Sequence[tuple[int, int]], stride: tuple[int, int]):
        super().__init__()
        layers: list[nn.Module] = []
        strides = (stride, (1, 1), (1, 1), (2, 2))
        for i, o, kernel, s in zip((1, *channels), channels, kernels, strides, strict=False):
            convolution = nn.Conv2d(i, o, kernel, s, (kernel[0] // 2, kernel[1] // 2))
            layers += [convolution, nn.BatchNorm2d(o), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Log-mel (N, 1, 96, F) to (N, channels[-1], H, W)."""
        return self.layers(x)


class Fusion(nn.Module):
    """The fast path for fusion into the slow path: its channels, and a quarter of the positions, unpadded (75 → 18)."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.conv1 = WSConv(channels, channels, (1, 7), activate=True, stride=(1, 4))
        self.conv2 = WSConv(channels, out_channels, (1, 1), activate=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W) to (N, out_channels, H, (W - 7) // 4 + 1)."""
        return self.conv2(self.conv1(x))


class NFNet(nn.Module):
    """Log-mel (N, 1, 96, F) to the means of the slow and the fast path, activated as in MULE (N, 1536 + 192)."""

    def __init__(
        self,
        slow_stem: Sequence[int] = (16, 32, 64, 128),
        fast_stem: Sequence[int] = (2, 4, 8, 16),
        slow: Sequence[int] = (256, 512, 1536, 1536),
        fast: Sequence[int] = (32, 64, 192, 192),
        group_sizes: tuple[int, int] = (128, 16),
        num_blocks: Sequence[int] = (1, 2, 6, 3),
    ):
        super().__init__()
        self.slow_stem = Stem(slow_stem, ((3, 1), (3, 1), (3, 1), (3, 3)), stride=(2, 8))
        self.fast_stem = Stem(fast_stem, ((3, 3),) * 4, stride=(2, 2))
        self.slow_layers, self.fast_layers, self.fusion_layers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        slow_in, fast_in = (slow_stem[-1], *slow), (fast_stem[-1], *fast)
        for i, (blocks, stride) in enumerate(zip(num_blocks, (1, 2, 2, 2), strict=True)):
            self.slow_layers.append(Stage(i, slow_in[i], slow[i], group_sizes[0], blocks, stride))
            self.fast_layers.append(Stage(i, fast_in[i], fast[i], group_sizes[1], blocks, stride))
            self.fusion_layers.append(Fusion(fast_in[i], slow_in[i]))
        self.dim = slow[-1] + fast[-1]

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (N, 1, 96, F) to the embedding (N, D)."""
        slow, fast = self.slow_stem(mel), self.fast_stem(mel)  # (N, 128, 24, 19), (N, 16, 24, 75)
        for fusion, slow_stage, fast_stage in zip(self.fusion_layers, self.slow_layers, self.fast_layers, strict=True):
            slow = slow_stage(torch.cat([slow, fusion(fast)], dim=3))  # 37, 55, 73, 91 positions
            fast = fast_stage(fast)
        return activation(torch.cat([slow.mean(dim=(2, 3)), fast.mean(dim=(2, 3))], dim=1))  # (N, D)


class Mulooc(nn.Module):
    """The encoder and its projection heads, under the names of the training checkpoint: `encoder.*` and `heads.*`.

    heads: the widths of the two layers of each head; they have no bias, and ReLU follows both. sizes: as for `NFNet`.
    """

    def __init__(self, heads: Sequence[Sequence[int]] = ((512, 128),), **sizes: Any):
        super().__init__()
        self.encoder = NFNet(**sizes)
        self.head_dims = [out for _, out in heads]
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(self.encoder.dim, inner, bias=False), nn.ReLU(), nn.Linear(inner, out, bias=False), nn.ReLU()
            )
            for inner, out in heads
        )

    def forward(self, mel: Tensor, heads: Sequence[int] = ()) -> Tensor:
        """Log-mel (N, 1, 96, F) to the embedding (N, D), or to the concatenated outputs of some heads, by number."""
        embedding = self.encoder(mel)
        return torch.cat([self.heads[i](embedding) for i in heads], dim=1) if heads else embedding
