"""The slow-fast NFNet of MuLOOC and LOEV (Pliploop/MuLOVR): MULE's shape in other parts.

Plain convolutions with batch norm in the stems, ReLU, standardised weights without gain or bias, symmetric padding, and
fusion along time: the slow path grows from 19 to 91 positions. Every constant of a block is a 0-d parameter, read from
the checkpoint. Neither network loads the other's weights.

Written from a description and the checkpoints' names, and compared with the original: ReLU stands between a block's
convolutions and not after the last, as in MULE, after every batch norm of the stems, and after both of a fusion.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram
from diffgar.models.encoders.networks.mule import ALPHA, SAMPLE_RATE, activation


class FrontEnd(nn.Module):
    """16 kHz waveforms (N, S) to 96 HTK mel bands in dB (N, 1, 96, S/160 + 1), to 8 kHz."""

    def __init__(self):
        super().__init__()
        self.register_buffer("bank", mel_bank(96, 2048, SAMPLE_RATE, 0, 8000, scale="htk"), persistent=False)
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        return decibels(self.bank.T @ power_spectrogram(waveforms, 2048, 160, self.window)).unsqueeze(1)


class WSConv(nn.Module):
    """A convolution with standardised weights: per output channel zero mean, sample variance 1 / fan-in."""

    def __init__(self, channels: int, out_channels: int, kernel: tuple[int, int], activate: bool = False, **options):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, kernel, bias=False, **options)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        weight, conv = self.conv.weight, self.conv
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True)
        weight = (weight - mean) * (variance * weight[0].numel()).clamp(min=1e-4).rsqrt()
        x = F.conv2d(x, weight, None, conv.stride, conv.padding, groups=conv.groups)
        return F.relu(x) if self.activate else x


class ScalarMultiply(nn.Module):
    def __init__(self, scalar: float):
        super().__init__()
        self.scalar = nn.Parameter(torch.tensor(scalar))

    def forward(self, x: Tensor) -> Tensor:
        return self.scalar * x


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        layers = nn.Linear(channels, channels // 2), nn.ReLU(), nn.Linear(channels // 2, channels), nn.Sigmoid()
        self.fc = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean(dim=(2, 3)))[:, :, None, None]


class Block(nn.Module):
    """As in MULE. The first block of a stage activates before the two paths part, the others on the residual one."""

    def __init__(self, channels: int, out_channels: int, group_size: int, beta: float, stride: int, first: bool):
        super().__init__()
        width = out_channels // 2
        across = {"groups": width // group_size, "activate": True}
        path = [
            WSConv(channels, width, (1, 1), activate=True),
            WSConv(width, width, (1, 3), stride=(stride, 1), padding=(0, 1), **across),
            WSConv(width, width, (3, 1), padding=(1, 0), **across),
            WSConv(width, out_channels, (1, 1)),
            SqueezeExcite(out_channels),
            ScalarMultiply(0.0),  # the skip gain
            ScalarMultiply(ALPHA),
        ]
        entrance = [nn.ReLU(), ScalarMultiply(beta)]
        self.input_layers = nn.Sequential(*(entrance if first else []))
        self.residual_path = nn.Sequential(*([] if first else entrance), *path)
        pool = nn.AvgPool2d((stride, 1)) if stride > 1 else nn.Identity()
        self.skip_path = nn.Sequential(*([pool, WSConv(channels, out_channels, (1, 1))] if first else []))

    def forward(self, x: Tensor) -> Tensor:
        x = self.input_layers(x)
        return self.skip_path(x) + self.residual_path(x)


class Stage(nn.Module):
    def __init__(self, index: int, channels: int, out_channels: int, group_size: int, num_blocks: int, stride: int):
        super().__init__()
        variance = 1.0 if index == 0 else 1 + ALPHA**2
        self.blocks = nn.Sequential()
        for block in range(num_blocks):
            inner = {"stride": 1, "first": False} if block else {"stride": stride, "first": True}
            self.blocks.append(Block(channels, out_channels, group_size, variance**-0.5, **inner))
            channels, variance = out_channels, variance + ALPHA**2

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Stem(nn.Module):
    def __init__(self, channels: Sequence[int], kernels: Sequence[tuple[int, int]], stride: tuple[int, int]):
        super().__init__()
        layers, strides = [], (stride, (1, 1), (1, 1), (2, 2))
        for i, o, kernel, s in zip((1, *channels), channels, kernels, strides, strict=False):
            convolution = nn.Conv2d(i, o, kernel, s, (kernel[0] // 2, kernel[1] // 2))
            layers += [convolution, nn.BatchNorm2d(o), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Fusion(nn.Module):
    """The fast path in the slow path's channels, ReLU after both convolutions. Without padding 75 positions give 18."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.conv1 = WSConv(channels, channels, (1, 7), activate=True, stride=(1, 4))
        self.conv2 = WSConv(channels, out_channels, (1, 1), activate=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class NFNet(nn.Module):
    """Log-mel (N, 1, 96, F) to the two paths' means, activated as in MULE (N, 1536 + 192)."""

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
        slow, fast = self.slow_stem(mel), self.fast_stem(mel)  # (N, 128, 24, 19), (N, 16, 24, 75)
        for fusion, slow_stage, fast_stage in zip(self.fusion_layers, self.slow_layers, self.fast_layers, strict=True):
            slow = slow_stage(torch.cat([slow, fusion(fast)], dim=3))  # 37, 55, 73, 91 positions
            fast = fast_stage(fast)
        return activation(torch.cat([slow.mean(dim=(2, 3)), fast.mean(dim=(2, 3))], dim=1))  # (N, D)


class Mulooc(nn.Module):
    """The encoder and its projection heads. heads: of each the widths of its two layers, no bias, ReLU after both."""

    def __init__(self, heads: Sequence[Sequence[int]] = ((512, 128),), **sizes):
        super().__init__()
        self.encoder = NFNet(**sizes)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(self.encoder.dim, inner, bias=False), nn.ReLU(), nn.Linear(inner, out, bias=False), nn.ReLU()
            )
            for inner, out in heads
        )

    def forward(self, mel: Tensor, heads: Sequence[int] = ()) -> Tensor:
        """The embedding (N, D), or what these heads make of it, one after the other (N, sum of their widths)."""
        embedding = self.encoder(mel)
        return torch.cat([self.heads[i](embedding) for i in heads], dim=1) if heads else embedding
