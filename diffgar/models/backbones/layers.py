"""Layers that the backbones share: features of timestep, text and position, modulation, dropout, the output head.

Frames are (B, T, W) throughout, so that every product is one large matrix product. Norms work frame by frame, so that
padding frames enter no statistic.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.distributed import rank_and_world_size


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Positions (N,) to sines and cosines (N, dim) of geometric wavelengths up to 10,000 (Vaswani et al. 2017)."""
    exponents = torch.arange(dim // 2, device=positions.device) / (dim // 2)
    angles = positions.float().unsqueeze(-1) * torch.exp(-math.log(10_000) * exponents)  # (N, dim / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def near_zero(linear: nn.Linear) -> nn.Linear:
    """Initialise a layer's output near zero; not at zero, where no layer before it would have a gradient."""
    nn.init.normal_(linear.weight, std=1e-3)
    nn.init.zeros_(linear.bias)
    return linear


class TimestepFeatures(nn.Module):
    """Timesteps (B,) to features (B, F): sinusoids through an MLP (Ho et al. 2020, arXiv 2006.11239, appendix B)."""

    def __init__(self, features: int, num_sinusoids: int = 256):
        super().__init__()
        self.num_sinusoids = num_sinusoids
        self.mlp = nn.Sequential(nn.Linear(num_sinusoids, features), nn.SiLU(), nn.Linear(features, features))

    def forward(self, timesteps: Tensor) -> Tensor:
        """Timesteps (B,) to features (B, F)."""
        return self.mlp(sinusoids(timesteps, self.num_sinusoids).to(next(self.mlp.parameters()).dtype))


def positions(latents: Tensor, mask: Tensor | None, factor: int = 1) -> Tensor:
    """The position of each frame of latents (B, T, D) in its sequence, (B, T), from 0 at the start to 1 at the end.

    Positions are relative to the valid frames, which come first in the mask (B, T): frame t of n has its centre at
    (t + 0.5) / n. So 4 frames are at 1/8, 3/8, 5/8 and 7/8, whatever padding follows, and the middle of a sequence of
    any length is at 1/2. factor: a U-Net's deep frame, of so many latent frames, is at the centre of its valid ones:
    (B, T / factor).
    """
    size, num_frames, _ = latents.shape
    if mask is None:
        valid = torch.full((size, 1), num_frames, device=latents.device)
    else:
        valid = mask.sum(dim=1, keepdim=True).clamp(min=1)  # (B, 1)
    first = torch.arange(0, num_frames, factor, device=latents.device)  # (T / factor,)
    end = torch.minimum(first + factor, valid)  # (B, T / factor)
    return (first + end) / (2 * valid)


class PositionFeatures(nn.Module):
    """Positions (B, T) from 0 to 1 to features (B, T, W): sinusoids through a linear map.

    Sines and cosines of half a period per sequence, one period, two, four and so on (Mildenhall et al. 2020, arXiv
    2003.08934, eq. 4). The slowest tell the halves of a sequence apart, the fastest neighbours among 64 frames.
    """

    def __init__(self, width: int, num_octaves: int = 7):
        super().__init__()
        self.num_octaves = num_octaves
        self.out = nn.Linear(2 * num_octaves, width, bias=False)

    def forward(self, positions: Tensor) -> Tensor:
        """Positions (B, T) to features (B, T, W)."""
        octaves = torch.arange(self.num_octaves, device=positions.device)
        angles = positions.float().unsqueeze(-1) * (math.pi * 2.0**octaves)  # (B, T, num_octaves)
        return self.out(torch.cat([angles.sin(), angles.cos()], dim=-1).to(self.out.weight.dtype))


class TextPooling(nn.Module):
    """Token states (B, L, C) to features (B, F): each head averages its values over the tokens it attends to.

    Starts as the masked mean (the scores start equal) and learns which tokens count.
    """

    def __init__(self, text_dim: int, features: int, num_heads: int):
        super().__init__()
        self.scores = nn.Linear(text_dim, num_heads, bias=False)  # a bias would change no softmax
        self.values = nn.Linear(text_dim, features)
        self.out = nn.Linear(features, features)
        nn.init.zeros_(self.scores.weight)

    def forward(self, text: Tensor, text_mask: Tensor) -> Tensor:
        """Token states (B, L, C) and their mask (B, L) to features (B, F)."""
        scores = self.scores(text)  # (B, L, H)
        scores = scores.masked_fill(~text_mask.unsqueeze(-1), torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=1)  # (B, L, H)
        values = self.values(text).unflatten(-1, (weights.shape[-1], -1))  # (B, L, H, F / H)
        pooled = torch.einsum("blh,blhf->bhf", weights.to(values.dtype), values).flatten(1)  # (B, F)
        return self.out(pooled)


class ModulatedNorm(nn.Module):
    """A layer norm per frame, then a scale and a shift predicted from features (B, F).

    Perez et al. 2018 (FiLM, arXiv 1709.07871).
    """

    def __init__(self, width: int, features: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = near_zero(nn.Linear(features, 2 * width))

    def forward(self, frames: Tensor, features: Tensor) -> Tensor:
        """Frames (B, T, W) to modulated frames (B, T, W)."""
        scale, shift = self.modulation(F.silu(features)).unsqueeze(1).chunk(2, dim=-1)  # (B, 1, W)
        return torch.addcmul(shift, self.norm(frames), 1 + scale)


class GatedModulation(nn.Module):
    """A `ModulatedNorm` that also predicts a gate (B, 1, W) for the branch that is added to the frames.

    The gate starts near one, and not at zero as in Peebles & Xie 2023 (arXiv 2212.09748): the branch learns at once.
    """

    def __init__(self, width: int, features: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = near_zero(nn.Linear(features, 3 * width))

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, T, W) to modulated frames (B, T, W), and the gate (B, 1, W)."""
        scale, shift, gate = self.modulation(F.silu(features)).unsqueeze(1).chunk(3, dim=-1)  # (B, 1, W)
        return torch.addcmul(shift, self.norm(frames), 1 + scale), 1 + gate


class Head(nn.Module):
    """Frames to predictions (B, T, D), plus the noisy latents times a learned gain per sample and dimension.

    The gain is predicted from the features: it is what the input contributes to the target at each noise level (c_skip
    of Karras et al. 2022, arXiv 2206.00364), so that a narrow backbone need not carry the noise through its layers.
    frames_each: a U-Net whose frames are each of several latent frames predicts so many from every one.
    """

    def __init__(self, width: int, latent_dim: int, features: int, frames_each: int = 1):
        super().__init__()
        self.frames_each, self.latent_dim = frames_each, latent_dim
        self.norm = ModulatedNorm(width, features)
        self.out = near_zero(nn.Linear(width, frames_each * latent_dim))
        self.gain = near_zero(nn.Linear(features, latent_dim))

    def forward(self, frames: Tensor, features: Tensor, noisy_latents: Tensor) -> Tensor:
        """Frames (B, T / frames_each, W), features (B, F) and noisy latents (B, T, D) to predictions (B, T, D)."""
        prediction = self.out(self.norm(frames, features))  # (B, T / frames_each, frames_each * D)
        prediction = prediction.unflatten(-1, (self.frames_each, self.latent_dim)).flatten(1, 2)  # (B, T, D)
        return prediction + self.gain(F.silu(features)).unsqueeze(1) * noisy_latents


class Dropout(nn.Dropout):
    """Dropout whose mask is this process's part of the global batch's mask.

    With the same seed in every process, several of them drop what a single one would: each draws the whole mask and
    uses its part.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, ...) to x (B, ...), as `torch.nn.Dropout`."""
        if not self.training or self.p == 0:
            return x
        rank, world_size = rank_and_world_size()
        kept = torch.empty(world_size * len(x), *x.shape[1:], dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        return x * kept[rank * len(x) : (rank + 1) * len(x)].div_(1 - self.p)


def pad_frames(latents: Tensor, mask: Tensor | None, multiple: int) -> tuple[Tensor, Tensor | None]:
    """Latents (B, T, D) and mask, both padded to a multiple of frames; the latents are zero where the mask is False.

    A mask of None stays None where no frame is missing.
    """
    missing = -latents.shape[1] % multiple
    if mask is None and missing:
        mask = torch.ones(latents.shape[:2], dtype=torch.bool, device=latents.device)
    if mask is None:
        return latents, None
    mask = F.pad(mask, (0, missing))
    return F.pad(latents, (0, 0, 0, missing)) * mask.unsqueeze(-1), mask
