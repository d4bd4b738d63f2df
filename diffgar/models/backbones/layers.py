"""What the backbones share: conditions (timestep and text) and attention, over frames (B, T, W)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class PreparedText:
    """A caption as a backbone uses it, made once by `prepare_text` and good for every denoising step.

    keys_values: keys and values (B, H, L, head_dim) of each cross-attention, in the backbone's order.
    mask (B, 1, 1, L) or None: True at tokens. pooled (B, W): the mean token state, projected.
    """

    keys_values: list[tuple[Tensor, Tensor]]
    mask: Tensor | None
    pooled: Tensor


def masked_mean(text: Tensor, text_mask: Tensor | None) -> Tensor:
    """The mean over tokens, (B, L, C) to (B, C)."""
    if text_mask is None:
        return text.mean(dim=1)
    weights = text_mask.to(text.dtype).unsqueeze(-1)  # (B, L, 1)
    return (text * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class TimestepEmbedding(nn.Module):
    """Timesteps (B,) to features (B, W): sinusoids (Vaswani et al. 2017) and a small MLP."""

    def __init__(self, width: int, num_sinusoids: int = 256):
        super().__init__()
        self.num_sinusoids = num_sinusoids
        self.mlp = nn.Sequential(nn.Linear(num_sinusoids, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timesteps: Tensor) -> Tensor:
        half = self.num_sinusoids // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=timesteps.device) / half)
        angles = timesteps.float().unsqueeze(-1) * frequencies  # (B, half)
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=-1))


class SelfAttention(nn.Module):
    """Frames (B, T, W) attend to the valid ones (mask (B, T)) among them; residual."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads, self.norm = num_heads, nn.LayerNorm(width)
        self.to_all = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.num_heads) for part in self.to_all(self.norm(x)).chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        return x + self.out(attended.transpose(1, 2).flatten(2))  # (B, T, W)


class CrossAttention(nn.Module):
    """Frames (B, T, W) attend to the token states whose keys and values `keys_values` made; residual."""

    def __init__(self, width: int, text_dim: int, num_heads: int):
        super().__init__()
        self.num_heads, self.norm, self.text_norm = num_heads, nn.LayerNorm(width), nn.LayerNorm(text_dim)
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(text_dim, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def keys_values(self, text: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.to_keys_values(self.text_norm(text)).chunk(2, dim=-1)
        return split_heads(keys, self.num_heads), split_heads(values, self.num_heads)  # (B, H, L, W / H)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor], text_mask: Tensor | None) -> Tensor:
        queries = split_heads(self.to_query(self.norm(x)), self.num_heads)
        attended = F.scaled_dot_product_attention(queries, *keys_values, attn_mask=text_mask)
        return x + self.out(attended.transpose(1, 2).flatten(2))  # (B, T, W)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # (B, H, L, W / H)
