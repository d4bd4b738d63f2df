"""MusCALL's text tower (Manco et al. 2022, arXiv 2208.12208), with either of its branches, in pure torch.

The modules have the names that the original's checkpoints need.
"""

import torch
from torch import Tensor, nn

from diffgar.models.encoders.networks.muscall_clip import ClipText, causal_attention


class Attention(nn.Module):
    """Causal self-attention with one projection to queries, keys and values."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.to_qkv, self.out_projection = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to (B, L, C)."""
        query, key, value = self.to_qkv(x).chunk(3, dim=-1)
        return self.out_projection(causal_attention(query, key, value, self.heads))


class FeedForward(nn.Module):
    """Two layers with GELU; the `Identity` stands where the original has dropout, which the names count."""

    def __init__(self, dim: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to (B, L, C)."""
        return self.mlp(x)


class PreNorm(nn.Module):
    """A residual branch whose input is normalised: x + fn(norm(x))."""

    def __init__(self, dim: int, fn: nn.Module):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), fn

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to (B, L, C)."""
        return x + self.fn(self.norm(x))


class Transformer(nn.Module):
    """Layers of attention and feed-forward, and the norm of their output."""

    def __init__(self, dim: int, num_layers: int, heads: int):
        super().__init__()
        self.layers = nn.Sequential(
            *(
                nn.Sequential(PreNorm(dim, Attention(dim, heads)), PreNorm(dim, FeedForward(dim)))
                for _ in range(num_layers)
            )
        )
        self.norm_out = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) to hidden states (B, L, C)."""
        return self.norm_out(self.layers(x))


class TextTransformer(nn.Module):
    """MusCALL's own text branch: ids (B, L) to hidden states (B, L, C). Its checkpoints' `ln_final` is never used."""

    def __init__(self, dim: int, num_layers: int, heads: int, vocab_size: int, max_tokens: int):
        super().__init__()
        self.token_embedding, self.position_embedding = nn.Embedding(vocab_size, dim), nn.Embedding(max_tokens, dim)
        self.transformer = Transformer(dim, num_layers, heads)
        self.ln_final = nn.LayerNorm(dim)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, L) to hidden states (B, L, C)."""
        return self.transformer(self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]])


BRANCHES = {"TextTransformer": (TextTransformer, 4), "CLIPTextModel": (ClipText, 12)}  # and their usual depths


class MuscallText(nn.Module):
    """The text tower: ids (B, L) to hidden states (B, L, C) and the projected embedding (B, P), not normalised.

    branch: "TextTransformer" or "CLIPTextModel", the names in MusCALL's configs; num_layers: None for the usual depth.
    """

    def __init__(
        self,
        branch: str = "TextTransformer",
        hidden_size: int = 512,
        num_layers: int | None = None,
        heads: int = 8,
        vocab_size: int = 49_408,
        max_tokens: int = 77,
        projection_dim: int = 512,
    ):
        super().__init__()
        make, usual = BRANCHES[branch]
        self.textual_head = make(hidden_size, num_layers or usual, heads, vocab_size, max_tokens)
        self.text_projection = nn.Linear(hidden_size, projection_dim, bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids (B, L) and their mask (B, L) to hidden states (B, L, C) and the embedding (B, P)."""
        hidden_states = self.textual_head(ids)  # (B, L, C)
        ends = ids.masked_fill(~mask, -1).argmax(dim=1)  # (B,): the end token has the largest id; the first one counts
        return hidden_states, self.text_projection(hidden_states[torch.arange(len(ids), device=ids.device), ends])
