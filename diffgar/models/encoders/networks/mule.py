"""SF-NFNet-F0, MULE's network (McCallum et al. 2022, arXiv 2210.03799; Wang et al. 2022, arXiv 2111.12124).

A slow path has an eighth of the frames and wide layers, a fast path half of the frames and narrow layers; before each
stage the fast path is fused into the slow one. Parameter names are those of the published PyTorch conversion.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffgar.models.encoders.networks.mel import mel_bank, power_spectrogram
from diffgar.models.encoders.networks.mule_layers import ALPHA, Block, WSConv2d, activation

SAMPLE_RATE, SECONDS = 16_000, 3


class FrontEnd(nn.Module):
    """16 kHz waveforms (N, 48000) in [-1, 1] to slices (N, 1, 96, 300), each of zero mean and unit deviation.

    level: a factor of the waveform, which matters because log10(10000 x + 1) is not scale invariant. The original reads
    16-bit samples as n / 2^16 and then sums the channels: so a stereo file, as almost all music is, becomes the mean of
    its channels at full scale, a mono file the same at half scale. Of 301 frames the first is left out.
    """

    mel_fb: Tensor  # (96, 1025): HTK bands to 8 kHz, each of unit L2 norm; a checkpoint holds it
    window: Tensor  # (400,)

    def __init__(self, level: float = 1.0):
        super().__init__()
        self.level = level
        self.register_buffer("mel_fb", mel_bank(96, 2048, SAMPLE_RATE, 0, 8000, scale="htk", norm="l2").T.contiguous())
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, 48000) to slices (N, 1, 96, 300)."""
        power = power_spectrogram(self.level * waveforms, 2048, 160, self.window)[..., 1:]  # (N, 1025, 300)
        mel = torch.log10(10_000 * (self.mel_fb @ power) + 1)  # (N, 96, 300)
        deviation = mel.std(dim=(1, 2), keepdim=True, correction=0).clamp(min=0.01)
        return ((mel - mel.mean(dim=(1, 2), keepdim=True)) / deviation).unsqueeze(1)


class Stage(nn.Module):
    """`num_blocks` residual blocks, of which the first may have a stride.

    index: the number of the stage in its path. The first stage expects an input of variance 1, later ones of
    1 + alpha²; every block adds alpha² to it.
    """

    def __init__(self, index: int, channels: int, out_channels: int, group_size: int, num_blocks: int, stride: int):
        super().__init__()
        variance = 1.0 if index == 0 else 1 + ALPHA**2
        self.blocks = nn.ModuleList()
        for block in range(num_blocks):
            first = block == 0
            beta, block_stride = variance**-0.5, stride if first else 1
            self.blocks.append(Block(channels, out_channels, group_size, beta, block_stride, first))
            channels, variance = out_channels, variance + ALPHA**2

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W) to (N, out_channels, H / stride, W)."""
        for block in self.blocks:
            x = block(x)
        return x


class Stem(nn.Module):
    """Four convolutions with activations between them; the first and the last subsample, the last by 2 × 2."""

    def __init__(self, channels: Sequence[int], kernels: Sequence[tuple[int, int]], stride: tuple[int, int]):
        super().__init__()
        strides = (stride, (1, 1), (1, 1), (2, 2))
        sizes = zip((1, *channels), channels, kernels, strides, strict=False)
        self.convs = nn.ModuleList(WSConv2d(i, o, kernel, s) for i, o, kernel, s in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Slices (N, 1, 96, 300) to (N, channels[-1], H, W)."""
        x = self.convs[0](x)
        for conv in self.convs[1:]:
            x = conv(activation(x))
        return x


class Fusion(nn.Module):
    """The fast path for fusion into the slow path: subsampled by 4 in time, to the slow path's frame rate."""

    def __init__(self, channels: int, inner: int, out_channels: int):
        super().__init__()
        self.conv1, self.conv2 = WSConv2d(channels, inner, (1, 7), (1, 4)), WSConv2d(inner, out_channels, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W) to (N, out_channels, H, ceil(W / 4))."""
        return self.conv2(self.conv1(x))


class SlowFastNFNet(nn.Module):
    """Slices (N, 1, 96, 300) to the activated means of the slow and the fast path (N, 1536 + 192).

    The channels have the names that the published `config.json` gives them. group_sizes: channels per group in the slow
    and in the fast path. num_blocks: per stage.
    """

    def __init__(
        self,
        slow_stem_channels: Sequence[int] = (16, 32, 64, 128),
        fast_stem_channels: Sequence[int] = (2, 4, 8, 16),
        slow_stage_out: Sequence[int] = (256, 512, 1536, 1536),
        fast_stage_out: Sequence[int] = (32, 64, 192, 192),
        fusion_input_channels: Sequence[int] = (32, 32, 64, 192),
        fusion_output_channels: Sequence[int] = (128, 256, 512, 3072),
        group_sizes: tuple[int, int] = (128, 16),
        num_blocks: Sequence[int] = (1, 2, 6, 3),
    ):
        super().__init__()
        self.slow_stem = Stem(slow_stem_channels, ((3, 1), (3, 1), (3, 1), (3, 3)), stride=(2, 8))
        self.fast_stem = Stem(fast_stem_channels, ((3, 3),) * 4, stride=(2, 2))
        self.fusions, self.slow_stages, self.fast_stages = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        slow, fast = slow_stem_channels[-1], fast_stem_channels[-1]
        for i, (blocks, stride) in enumerate(zip(num_blocks, (1, 2, 2, 2), strict=True)):
            self.fusions.append(Fusion(fast, fusion_input_channels[i], fusion_output_channels[i]))
            slow += fusion_output_channels[i]
            self.slow_stages.append(Stage(i, slow, slow_stage_out[i], group_sizes[0], blocks, stride))
            self.fast_stages.append(Stage(i, fast, fast_stage_out[i], group_sizes[1], blocks, stride))
            slow, fast = slow_stage_out[i], fast_stage_out[i]
        self.dim = slow + fast

    def forward(self, slices: Tensor) -> Tensor:
        """Slices (N, 1, 96, 300) to the embedding (N, D)."""
        slow, fast = self.slow_stem(slices), self.fast_stem(slices)  # (N, 128, 24, 19), (N, 16, 24, 75)
        for fusion, slow_stage, fast_stage in zip(self.fusions, self.slow_stages, self.fast_stages, strict=True):
            slow = slow_stage(torch.cat([slow, fusion(fast)], dim=1))
            fast = fast_stage(fast)
        return activation(torch.cat([slow.mean(dim=(2, 3)), fast.mean(dim=(2, 3))], dim=1))  # (N, D)


class Mule(nn.Module):
    """The front end and the network, under the names of the published checkpoint: `frontend.*` and `backbone.*`.

    level: as for `FrontEnd`; sizes: as for `SlowFastNFNet`.
    """

    def __init__(self, level: float = 1.0, **sizes: Any):
        super().__init__()
        self.frontend, self.backbone = FrontEnd(level), SlowFastNFNet(**sizes)
