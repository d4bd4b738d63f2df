"""The text branch of CLIP (Radford et al. 2021), MusCALL's alternative to its own, in pure torch."""

import torch
from torch import Tensor, nn

from diffgar.models.encoders.networks.muscall import TextTransformer, causal_attention


class SelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.k_proj, self.v_proj, self.q_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(causal_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads))


class Layer(nn.Module):
    """Attention and two layers with CLIP's approximate GELU, x · sigmoid(1.702 x); each normalises its input first."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.self_attn = SelfAttention(dim, heads)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        h = self.mlp.fc1(self.layer_norm2(x))  # (B, L, 4 C)
        return x + self.mlp.fc2(h * torch.sigmoid(1.702 * h))


class ClipText(nn.Module):
    """Ids (B, L) to hidden states (B, L, C), the last layer's normalised."""

    def __init__(self, dim: int, num_layers: int, heads: int, vocab_size: int, max_tokens: int):
        super().__init__()
        self.embeddings, self.encoder = nn.Module(), nn.Module()
        self.embeddings.token_embedding = nn.Embedding(vocab_size, dim)
        self.embeddings.position_embedding = nn.Embedding(max_tokens, dim)
        self.encoder.layers = nn.ModuleList(Layer(dim, heads) for _ in range(num_layers))
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, ids: Tensor) -> Tensor:
        positions = self.embeddings.position_embedding.weight[: ids.shape[1]]  # (L, C)
        x = self.embeddings.token_embedding(ids) + positions
        for layer in self.encoder.layers:
            x = layer(x)
        return self.final_layer_norm(x)


BRANCHES = {"TextTransformer": (TextTransformer, 4), "CLIPTextModel": (ClipText, 12)}  # and their usual depths


class MuscallText(nn.Module):
    """The text tower: ids (B, L) to hidden states (B, L, C) and the projected embedding (B, P), not normalised.

    branch: "TextTransformer" or "CLIPTextModel", as MusCALL's configs say; num_layers: None for the usual depth.
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
        hidden_states = self.textual_head(ids)  # (B, L, C)
        ends = ids.masked_fill(~mask, -1).argmax(dim=1)  # (B,): the end token has the largest id; the first one counts
        return hidden_states, self.text_projection(hidden_states[torch.arange(len(ids), device=ids.device), ends])
