"""SF-NFNet-F0, MULE's network (McCallum et al. 2022, arXiv 2210.03799; Wang et al. 2022, arXiv 2111.12124).

A slow path sees an eighth of the frames through wide layers, a fast path half of them through narrow ones; before each
stage the fast path is folded into the slow one. No batch norm: weights are standardised, activations scaled to keep
unit variance. Parameter names are those of the published PyTorch conversion.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.encoders.networks.mel import mel_bank, power_spectrogram

GELU_GAIN = 1.7015043497085571  # GELU times this keeps the variance of a standard normal
ALPHA = 0.2  # what a residual branch is scaled by
SAMPLE_RATE, SECONDS = 16_000, 3
BOTTLENECK = ((1, 1), (1, 3), (3, 1), (1, 1))  # kernels of a block, (frequency, time)


def activation(x: Tensor) -> Tensor:
    return F.gelu(x) * GELU_GAIN


class FrontEnd(nn.Module):
    """16 kHz waveforms (N, 48000) in [-1, 1] to slices (N, 1, 96, 300), each of zero mean and unit deviation.

    level: what the waveform is multiplied by, for log10(10000 x + 1) is not scale invariant. The original read 16-bit
    samples as n / 2^16 and then summed the channels: a stereo file, as almost all music is, was seen as the mean of its
    channels at full scale, a mono file at half of it. Of 301 frames the first is left out. `mel_fb` (96, 1025): HTK
    bands to 8 kHz, each of unit L2 norm.
    """

    def __init__(self, level: float = 1.0):
        super().__init__()
        self.level = level
        self.register_buffer("mel_fb", mel_bank(96, 2048, SAMPLE_RATE, 0, 8000, scale="htk", norm="l2").T.contiguous())
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        power = power_spectrogram(self.level * waveforms, 2048, 160, self.window)[..., 1:]  # (N, 1025, 300)
        mel = torch.log10(10_000 * (self.mel_fb @ power) + 1)  # (N, 96, 300)
        deviation = mel.std(dim=(1, 2), keepdim=True, correction=0).clamp(min=0.01)
        return ((mel - mel.mean(dim=(1, 2), keepdim=True)) / deviation).unsqueeze(1)


class WSConv2d(nn.Module):
    """A convolution with standardised weights: per output channel zero mean, variance 1 / fan-in, times `gain`.

    Pads as TensorFlow's "same" does: the output has ceil(size / stride), what is odd goes to the bottom and right.
    """

    def __init__(
        self, channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int] = (1, 1), groups: int = 1
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, channels // groups, *kernel))
        self.bias, self.gain = nn.Parameter(torch.zeros(out_channels)), nn.Parameter(torch.ones(out_channels))
        self.stride, self.groups = tuple(stride), groups

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        scale = (variance * self.weight[0].numel()).clamp(min=1e-4).rsqrt() * self.gain[:, None, None, None]
        x = pad_same(x, self.weight.shape[2:], self.stride)
        return F.conv2d(x, (self.weight - mean) * scale, self.bias, self.stride, groups=self.groups)


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    padding = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):  # time first
        total = max((-(-size // s) - 1) * s + k - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding)


class SqueezeExcite(nn.Module):
    """Scales each channel by twice a sigmoid of all channels' means."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, channels // 2), nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = 2 * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3))))))  # (N, C)
        return x * scale[:, :, None, None]


class Block(nn.Module):
    """A residual block. beta: the reciprocal of the input's expected deviation.

    The first of a stage, which may halve the frequencies, has a convolution on its shortcut as well.
    """

    def __init__(self, channels: int, out_channels: int, group_size: int, beta: float, stride: int, first: bool):
        super().__init__()
        width = out_channels // 2
        sizes, strides = (channels, width, width, width, out_channels), (1, stride, 1, 1)
        self.convs = nn.ModuleList(
            WSConv2d(i, o, kernel, (s, 1), groups=1 if kernel == (1, 1) else width // group_size)
            for i, o, kernel, s in zip(sizes[:-1], sizes[1:], BOTTLENECK, strides, strict=True)
        )
        self.se = SqueezeExcite(out_channels)
        self.skip_gain = nn.Parameter(torch.zeros(1))
        self.skip_conv = WSConv2d(channels, out_channels, (1, 1)) if first else None
        self.beta, self.stride = beta, stride

    def forward(self, x: Tensor) -> Tensor:
        h = self.beta * activation(x)
        if self.skip_conv is not None:
            x = self.skip_conv(F.avg_pool2d(h, (self.stride, 1)) if self.stride > 1 else h)
        h = self.convs[0](h)
        for conv in self.convs[1:]:
            h = conv(activation(h))
        return x + ALPHA * self.skip_gain * self.se(h)


class Stage(nn.Module):
    """`num_blocks` blocks. index: its place in the path; every stage but the first starts from variance 1 + alpha²."""

    def __init__(self, index: int, channels: int, out_channels: int, group_size: int, num_blocks: int, stride: int):
        super().__init__()
        variance = 1.0 if index == 0 else 1 + ALPHA**2
        self.blocks = nn.ModuleList()
        for block in range(num_blocks):
            inner = {"stride": 1, "first": False} if block else {"stride": stride, "first": True}
            self.blocks.append(Block(channels, out_channels, group_size, variance**-0.5, **inner))
            channels, variance = out_channels, variance + ALPHA**2

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Stem(nn.Module):
    """Four convolutions, activated in between; the first and the last subsample."""

    def __init__(self, channels: Sequence[int], kernels: Sequence[tuple[int, int]], stride: tuple[int, int]):
        super().__init__()
        strides = (stride, (1, 1), (1, 1), (2, 2))
        sizes = zip((1, *channels), channels, kernels, strides, strict=False)
        self.convs = nn.ModuleList(WSConv2d(i, o, kernel, s) for i, o, kernel, s in sizes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs[0](x)
        for conv in self.convs[1:]:
            x = conv(activation(x))
        return x


class Fusion(nn.Module):
    """The fast path at the slow path's rate, a quarter of its own."""

    def __init__(self, channels: int, inner: int, out_channels: int):
        super().__init__()
        self.conv1, self.conv2 = WSConv2d(channels, inner, (1, 7), (1, 4)), WSConv2d(inner, out_channels, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class SlowFastNFNet(nn.Module):
    """Slices (N, 1, 96, 300) to the two paths' means, activated (N, 1536 + 192). Sizes named as in the config.json."""

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
        slow, fast = self.slow_stem(slices), self.fast_stem(slices)  # (N, 128, 24, 19), (N, 16, 24, 75)
        for fusion, slow_stage, fast_stage in zip(self.fusions, self.slow_stages, self.fast_stages, strict=True):
            slow = slow_stage(torch.cat([slow, fusion(fast)], dim=1))
            fast = fast_stage(fast)
        return activation(torch.cat([slow.mean(dim=(2, 3)), fast.mean(dim=(2, 3))], dim=1))  # (N, D)


class Mule(nn.Module):
    """The front end and the network, as one checkpoint holds them."""

    def __init__(self, level: float = 1.0, **sizes):
        super().__init__()
        self.frontend, self.backbone = FrontEnd(level), SlowFastNFNet(**sizes)
