"""Attention of frames to one another and to the tokens of a caption.

Vaswani et al. 2017 (arXiv 1706.03762): H heads, each with queries, keys and values of `head_dim` dimensions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KeysValues = tuple[Tensor, Tensor]  # (B, H, L, head_dim) each


class Attention(nn.Module):
    """What both kinds of attention have in common: frames (B, T, W) are the queries of a context (B, L, C).

    norm: whether the frames still need a layer norm; a caller that modulates them has done it.
    """

    def __init__(self, width: int, num_heads: int, head_dim: int, context_dim: int, norm: bool = True):
        super().__init__()
        self.num_heads, inner = num_heads, num_heads * head_dim
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.to_query = nn.Linear(width, inner, bias=False)
        self.to_keys_values = nn.Linear(context_dim, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width)

    def keys_values(self, context: Tensor) -> KeysValues:
        """Context (B, L, C) to keys and values (B, H, L, head_dim)."""
        keys, values = self.to_keys_values(context).chunk(2, dim=-1)
        return self._heads(keys), self._heads(values)

    def attend(self, normed: Tensor, keys_values: KeysValues, mask: Tensor | None) -> Tensor:
        """Normed frames (B, T, W) to the attention's output (B, T, W); mask (B, L): True at what may be attended to."""
        queries = self._heads(self.to_query(normed))  # (B, H, T, head_dim)
        keys, values = (x.to(queries.dtype) for x in keys_values)
        allowed = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, L)
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)
        return self.out(attended.transpose(1, 2).flatten(2))  # (B, T, W)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class CrossAttention(Attention):
    """Frames attend to a caption's tokens, whose keys and values are made beforehand, once per caption."""

    def forward(self, frames: Tensor, keys_values: KeysValues, mask: Tensor | None) -> Tensor:
        """Frames (B, T, W), keys and values (B, H, L, head_dim), token mask (B, L) to the output (B, T, W)."""
        return self.attend(self.norm(frames), keys_values, mask)


class SelfAttention(Attention):
    """Frames attend to one another, and always to a sink as well: a learned key and value of each head.

    The sink token of Xiao et al. 2024 (arXiv 2309.17453, section 3.3; `add_bias_kv` of torch's own attention). Without
    it the weight of a single frame is 1 whatever its query is, so that queries learn nothing there, and where every
    frame is masked nothing is defined.
    """

    def __init__(self, width: int, num_heads: int, head_dim: int, norm: bool = True):
        super().__init__(width, num_heads, head_dim, context_dim=width, norm=norm)
        self.sink = nn.Parameter(torch.zeros(2, num_heads, 1, head_dim))

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames (B, T, W) to the output (B, T, W); mask (B, T): True at valid frames."""
        normed = self.norm(frames)
        keys, values = self.keys_values(normed)
        sink_key, sink_value = (sink.to(keys.dtype).expand(len(keys), -1, -1, -1) for sink in self.sink)
        keys, values = torch.cat([sink_key, keys], dim=2), torch.cat([sink_value, values], dim=2)
        mask = None if mask is None else F.pad(mask, (1, 0), value=True)  # (B, 1 + T)
        return self.attend(normed, (keys, values), mask)
