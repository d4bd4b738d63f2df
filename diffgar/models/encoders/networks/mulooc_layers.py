"""The layers of MuLOOC's network: standardised convolutions, squeeze and excite, and the residual block.

Unlike MULE's: ReLU, standardised weights without gain or bias, and symmetric padding. Every constant of a block is a
0-d parameter, read from the checkpoint. Parameter names are those of the original's checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.encoders.networks.mule_layers import ALPHA


class WSConv(nn.Module):
    """A convolution with standardised weights: per output channel zero mean, sample variance 1 / fan-in.

    kernel, stride, padding: (frequency, time). activate: whether ReLU follows.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        activate: bool = False,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
    ):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W) to (N, out_channels, H', W'), the sizes of a `Conv2d`."""
        weight, conv = self.conv.weight, self.conv
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True)
        weight = (weight - mean) * (variance * weight[0].numel()).clamp(min=1e-4).rsqrt()
        x = F.conv2d(x, weight, None, conv.stride, conv.padding, groups=conv.groups)
        return F.relu(x) if self.activate else x


class ScalarMultiply(nn.Module):
    """Multiplies by a number that the checkpoint holds as a 0-d parameter."""

    def __init__(self, scalar: float):
        super().__init__()
        self.scalar = nn.Parameter(torch.tensor(scalar))

    def forward(self, x: Tensor) -> Tensor:
        """x, of any shape, times the number."""
        return self.scalar * x


class SqueezeExcite(nn.Module):
    """Scales each channel by a sigmoid of all channels' means (Hu et al. 2018): MULE's without its factor of 2."""

    def __init__(self, channels: int):
        super().__init__()
        layers = nn.Linear(channels, channels // 2), nn.ReLU(), nn.Linear(channels // 2, channels), nn.Sigmoid()
        self.fc = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) to (N, C, H, W)."""
        return x * self.fc(x.mean(dim=(2, 3)))[:, :, None, None]


class Block(nn.Module):
    """A residual block, its arguments as in MULE.

    The first block of a stage activates its input for both paths, the others for the residual path alone.
    """

    def __init__(self, channels: int, out_channels: int, group_size: int, beta: float, stride: int, first: bool):
        super().__init__()
        width = out_channels // 2
        groups = width // group_size
        path = [
            WSConv(channels, width, (1, 1), activate=True),
            WSConv(width, width, (1, 3), activate=True, stride=(stride, 1), padding=(0, 1), groups=groups),
            WSConv(width, width, (3, 1), activate=True, padding=(1, 0), groups=groups),
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
        """x (N, channels, H, W) to (N, out_channels, H / stride, W)."""
        x = self.input_layers(x)
        return self.skip_path(x) + self.residual_path(x)
