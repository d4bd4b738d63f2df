"""CLIP's text transformer (Radford et al. 2021, arXiv 2103.00020) in pure torch: the second text branch of MusCALL.

The modules have the names that transformers 5 gives them, and so the checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def causal_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attention (B, L, C) of (B, L, C) each. A token attends to itself and earlier ones, not to padding at the end."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))  # (B, h, L, C/h)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Causal self-attention with separate projections to queries, keys and values."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.k_proj, self.v_proj, self.q_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to (B, L, C)."""
        return self.out_proj(causal_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads))


class FeedForward(nn.Module):
    """Two layers with CLIP's approximate GELU, x · sigmoid(1.702 x)."""

    def __init__(self, dim: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to (B, L, C)."""
        h = self.fc1(x)  # (B, L, 4 C)
        return self.fc2(h * torch.sigmoid(1.702 * h))


class Layer(nn.Module):
    """Attention and feed-forward, each a residual branch whose input is normalised."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.self_attn = SelfAttention(dim, heads)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = FeedForward(dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to (B, L, C)."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """The sum of a token's embedding and its position's."""

    def __init__(self, dim: int, vocab_size: int, max_tokens: int):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, dim)
        self.position_embedding = nn.Embedding(max_tokens, dim)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, L) to embeddings (B, L, C)."""
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class Encoder(nn.Module):
    """The transformer's layers."""

    def __init__(self, dim: int, num_layers: int, heads: int):
        super().__init__()
        self.layers = nn.Sequential(*(Layer(dim, heads) for _ in range(num_layers)))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to (B, L, C)."""
        return self.layers(x)


class ClipText(nn.Module):
    """Ids (B, L) to hidden states (B, L, C), those of the last layer, normalised."""

    def __init__(self, dim: int, num_layers: int, heads: int, vocab_size: int, max_tokens: int):
        super().__init__()
        self.embeddings = Embeddings(dim, vocab_size, max_tokens)
        self.encoder = Encoder(dim, num_layers, heads)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, L) to hidden states (B, L, C)."""
        return self.final_layer_norm(self.encoder(self.embeddings(ids)))
