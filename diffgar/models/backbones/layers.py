"""What the backbones share: the two conditions (timestep and text), attention, modulation, the output head.

Frames stay last but one, (B, T, W), throughout: every product is then one large matrix product. Norms work frame
by frame, so that padding frames enter no statistic.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.distributed import place


@dataclass(frozen=True)
class PreparedText:
    """A caption as a backbone uses it, made once by `prepare_text` and good for every denoising step.

    features (B, F): the pooled text, in the width of the timestep features.
    keys_values: keys and values (B, H, L, head_dim) of each cross-attention, in the backbone's order.
    mask (B, L) bool: True at tokens.
    """

    features: Tensor
    keys_values: tuple[tuple[Tensor, Tensor], ...]
    mask: Tensor

    def first(self, count: int) -> "PreparedText":
        """That of the first `count` captions."""
        keys_values = tuple((keys[:count], values[:count]) for keys, values in self.keys_values)
        return PreparedText(self.features[:count], keys_values, self.mask[:count])


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Positions (N,) to sines and cosines (N, dim) of geometric wavelengths up to 10,000 (Vaswani et al. 2017)."""
    exponents = torch.arange(dim // 2, device=positions.device) / (dim // 2)
    angles = positions.float().unsqueeze(-1) * torch.exp(-math.log(10_000) * exponents)  # (N, dim / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def near_zero(linear: nn.Linear) -> nn.Linear:
    """Start a layer's output close to zero, but not at it: at zero, nothing before it would have a gradient."""
    nn.init.normal_(linear.weight, std=1e-3)
    nn.init.zeros_(linear.bias)
    return linear


class TimestepFeatures(nn.Module):
    """Timesteps (B,) to features (B, F)."""

    def __init__(self, features: int, num_sinusoids: int = 256):
        super().__init__()
        self.num_sinusoids = num_sinusoids
        self.mlp = nn.Sequential(nn.Linear(num_sinusoids, features), nn.SiLU(), nn.Linear(features, features))

    def forward(self, timesteps: Tensor) -> Tensor:
        """Timesteps (B,) to features (B, F)."""
        return self.mlp(sinusoids(timesteps, self.num_sinusoids).to(self.mlp[0].weight.dtype))


class TextPooling(nn.Module):
    """Token states (B, L, C) to features (B, F): each head averages its values over the tokens it attends to.

    Starts as the masked mean (the scores start equal) and learns which tokens count.
    """

    def __init__(self, text_dim: int, features: int, num_heads: int):
        super().__init__()
        self.scores = nn.Linear(text_dim, num_heads, bias=False)  # a softmax would not hear one
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


class Attention(nn.Module):
    """Frames (B, T, W) attend to themselves or, given `context_dim`, to keys and values made beforehand.

    Among themselves they may always attend to one more frame as well, a learned key and value of each head (the sink
    token of Xiao et al. 2024, arXiv 2309.17453, section 3.3; `add_bias_kv` of torch's own attention). Without it a
    single frame's weight is 1 whatever its query says, so queries learn nothing there, and where every frame is
    masked nothing is defined.

    norm: whether the frames still need a layer norm; a caller that modulates has done it.
    """

    def __init__(self, width: int, num_heads: int, head_dim: int, context_dim: int | None = None, norm: bool = True):
        super().__init__()
        self.num_heads, inner = num_heads, num_heads * head_dim
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.to_query = nn.Linear(width, inner, bias=False)
        self.to_keys_values = nn.Linear(context_dim or width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width)
        self.sink = nn.Parameter(torch.zeros(2, num_heads, 1, head_dim)) if context_dim is None else None

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Context (B, L, C) to keys and values (B, H, L, head_dim)."""
        keys, values = self.to_keys_values(context).chunk(2, dim=-1)
        return self._heads(keys), self._heads(values)  # (B, H, L, head_dim)

    def forward(self, frames: Tensor, keys_values: tuple[Tensor, Tensor] | None = None, mask=None) -> Tensor:
        """What the frames gather, (B, T, W); mask (B, L) is True at what may be attended to."""
        normed = self.norm(frames)
        if keys_values is None:
            keys_values, mask = self._with_sink(self.keys_values(normed), mask)
        queries = self._heads(self.to_query(normed))  # (B, H, T, head_dim)
        keys, values = (x.to(queries.dtype) for x in keys_values)
        allowed = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, L)
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)
        return self.out(attended.transpose(1, 2).flatten(2))  # (B, T, W)

    def _with_sink(self, keys_values: tuple[Tensor, Tensor], mask: Tensor | None):
        """Keys and values (B, H, 1 + T, head_dim) with the sink's in front, and the mask (B, 1 + T) that allows it."""
        sinks = (sink.to(x.dtype).expand(len(x), -1, -1, -1) for sink, x in zip(self.sink, keys_values, strict=True))
        joined = tuple(torch.cat(pair, dim=2) for pair in zip(sinks, keys_values, strict=True))
        return joined, None if mask is None else F.pad(mask, (1, 0), value=True)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class ModulatedNorm(nn.Module):
    """Layer norm a frame, then a scale and a shift told by features (B, F) (Perez et al. 2018, FiLM)."""

    def __init__(self, width: int, features: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = near_zero(nn.Linear(features, 2 * width))

    def forward(self, frames: Tensor, features: Tensor) -> Tensor:
        """Frames (B, T, W) to modulated frames (B, T, W)."""
        scale, shift = self.modulation(F.silu(features)).unsqueeze(1).chunk(2, dim=-1)  # (B, 1, W)
        return torch.addcmul(shift, self.norm(frames), 1 + scale)


class GatedModulation(nn.Module):
    """As `ModulatedNorm`, and a gate (B, 1, W) for what is then added to the frames; it starts near one."""

    def __init__(self, width: int, features: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = near_zero(nn.Linear(features, 3 * width))

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, T, W) to modulated frames (B, T, W), and the gate (B, 1, W)."""
        scale, shift, gate = self.modulation(F.silu(features)).unsqueeze(1).chunk(3, dim=-1)  # (B, 1, W)
        return torch.addcmul(shift, self.norm(frames), 1 + scale), 1 + gate


class Head(nn.Module):
    """Frames (B, T, W) to predictions (B, T, P), plus the noisy latents times a gain for each timestep and dimension.

    The gain is what the input contributes to the target at each noise level (Karras et al. 2022, c_skip), learned:
    a narrow backbone then need not carry the noise through its layers.
    """

    def __init__(self, width: int, latent_dim: int, features: int, frames_each: int = 1):
        super().__init__()
        self.frames_each, self.latent_dim = frames_each, latent_dim
        self.norm = ModulatedNorm(width, features)
        self.out = near_zero(nn.Linear(width, frames_each * latent_dim))
        self.gain = near_zero(nn.Linear(features, latent_dim))

    def forward(self, frames: Tensor, features: Tensor, noisy_latents: Tensor) -> Tensor:
        """Frames (B, T / frames_each, W) to predictions (B, T, D)."""
        prediction = self.out(self.norm(frames, features))  # (B, T / frames_each, frames_each * D)
        prediction = prediction.unflatten(-1, (self.frames_each, self.latent_dim)).flatten(1, 2)  # (B, T, D)
        return prediction + self.gain(F.silu(features)).unsqueeze(1) * noisy_latents


class Dropout(nn.Dropout):
    """Dropout whose mask is this process's part of the global batch's.

    Given the same seed everywhere, several processes drop what one would. Each draws all of the mask to use its part.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As `torch.nn.Dropout`, for x (B, ...)."""
        if not self.training or self.p == 0:
            return x
        rank, world_size = place()
        kept = torch.empty(world_size * len(x), *x.shape[1:], dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        return x * kept[rank * len(x) : (rank + 1) * len(x)].div_(1 - self.p)


def pad_frames(latents: Tensor, mask: Tensor | None, multiple: int) -> tuple[Tensor, Tensor | None]:
    """Latents (B, T, D) up to a multiple of frames, zero at padding, and the mask that tells which are valid."""
    missing = -latents.shape[1] % multiple
    if mask is None and missing:
        mask = torch.ones(latents.shape[:2], dtype=torch.bool, device=latents.device)
    if mask is None:
        return latents, None
    mask = F.pad(mask, (0, missing))
    return F.pad(latents, (0, 0, 0, missing)) * mask.unsqueeze(-1), mask
