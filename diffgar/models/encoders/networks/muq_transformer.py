"""The transformer that ends both towers of MuQ-MuLan: pre-norm layers with normalised queries and keys, and no mask.

The modules have the names that the published checkpoint needs.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class TransformerSizes:
    """Sizes of `Transformer`, under the names of the published config.json."""

    dim: int = 768
    tf_depth: int = 8
    heads: int = 8
    dim_head: int = 64
    ff_mult: int = 4


class Gain(nn.Module):
    """Layer normalisation with a gain and no bias."""

    def __init__(self, dim: int):
        super().__init__()
        self.learned_gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) to the same shape."""
        return F.layer_norm(x, x.shape[-1:], self.learned_gamma)


class GEGLU(nn.Module):
    """The first half of the features, gated by GELU of the second (Shazeer 2020, arXiv 2002.05202)."""

    def forward(self, x: Tensor) -> Tensor:
        """x (..., 2C) to (..., C)."""
        x, gate = x.chunk(2, dim=-1)
        return F.gelu(gate) * x


class Attention(nn.Module):
    """Self-attention over all positions; queries and keys have unit length times a learned scale per dimension."""

    SCALE = 8.0  # of the dot products

    def __init__(self, dim: int, heads: int, dim_head: int):
        super().__init__()
        self.heads = heads
        self.norm = Gain(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.q_scale, self.k_scale = nn.Parameter(torch.ones(dim_head)), nn.Parameter(torch.ones(dim_head))
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, L, C) to the same shape."""
        x = self.norm(x)
        projected = self.to_q(x), *self.to_kv(x).chunk(2, dim=-1)
        query, key, value = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in projected)  # (N, h, L, d)
        query, key = F.normalize(query, dim=-1) * self.q_scale, F.normalize(key, dim=-1) * self.k_scale
        weights = (query @ key.transpose(2, 3) * self.SCALE).softmax(dim=-1)  # (N, h, L, L)
        return self.to_out((weights @ value).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Layers of attention and a gated feed-forward network. A padded position would be attended to: pass none."""

    def __init__(self, sizes: TransformerSizes):
        super().__init__()
        dim, inner = sizes.dim, int(sizes.dim * sizes.ff_mult * 2 / 3)
        self.layers = nn.ModuleList()
        for _ in range(sizes.tf_depth):
            feed_forward = nn.Sequential(
                Gain(dim),
                nn.Linear(dim, 2 * inner, bias=False),
                GEGLU(),
                nn.Identity(),  # the original's dropout
                nn.Linear(inner, dim, bias=False),
            )
            self.layers.append(nn.ModuleList([Attention(dim, sizes.heads, sizes.dim_head), feed_forward]))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, L, C) to the same shape."""
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            attention, feed_forward = layer
            x = x + attention(x)
            x = x + feed_forward(x)
        return x
