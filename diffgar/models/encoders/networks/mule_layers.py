"""The layers of MULE's network: standardised convolutions, squeeze and excite, and the residual block.

Normaliser-free networks (Brock et al. 2021, arXiv 2102.06171): in place of batch norm, weights are standardised and
activations scaled, so that variances stay near one. Parameter names are those of the published PyTorch conversion.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GELU_GAIN = 1.7015043497085571  # GELU times this keeps the variance of a standard normal
ALPHA = 0.2  # the factor of a residual branch
BOTTLENECK = ((1, 1), (1, 3), (3, 1), (1, 1))  # kernels of a block, (frequency, time)


def activation(x: Tensor) -> Tensor:
    """GELU, scaled so that standard normal input keeps its variance; any shape."""
    return F.gelu(x) * GELU_GAIN


class WSConv2d(nn.Module):
    """A convolution with standardised weights: per output channel zero mean, variance 1 / fan-in, times `gain`.

    It is padded as TensorFlow's "same" is; see `pad_same`. kernel, stride: (frequency, time).
    """

    def __init__(
        self, channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int] = (1, 1), groups: int = 1
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, channels // groups, *kernel))
        self.bias, self.gain = nn.Parameter(torch.zeros(out_channels)), nn.Parameter(torch.ones(out_channels))
        self.stride, self.groups = tuple(stride), groups

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        scale = (variance * self.weight[0].numel()).clamp(min=1e-4).rsqrt() * self.gain[:, None, None, None]
        x = pad_same(x, self.weight.shape[2:], self.stride)
        return F.conv2d(x, (self.weight - mean) * scale, self.bias, self.stride, groups=self.groups)


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """x (N, C, H, W) with zeros around it, so that the convolution's output has ceil(size / stride) positions.

    An odd number of zeros has the extra one at the bottom or right.
    """
    padding = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):  # time first
        total = max((-(-size // s) - 1) * s + k - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding)


class SqueezeExcite(nn.Module):
    """Scales each channel by a factor from 0 to 2, predicted from the means of all channels (Hu et al. 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, channels // 2), nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) to (N, C, H, W)."""
        scale = 2 * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3))))))  # (N, C)
        return x * scale[:, :, None, None]


class Block(nn.Module):
    """A residual block of four convolutions and squeeze and excite.

    beta: the reciprocal of the input's expected standard deviation. stride: along frequency. first: the first block of
    a stage also has a convolution on its shortcut.
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
        """x (N, channels, H, W) to (N, out_channels, H / stride, W)."""
        h = self.beta * activation(x)
        if self.skip_conv is not None:
            x = self.skip_conv(F.avg_pool2d(h, (self.stride, 1)) if self.stride > 1 else h)
        h = self.convs[0](h)
        for conv in self.convs[1:]:
            h = conv(activation(h))
        return x + ALPHA * self.skip_gain * self.se(h)
