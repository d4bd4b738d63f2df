"""A residual MLP, frame by frame or on one pooled vector, with adaptive layer norm from timestep and text."""

import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.backbones.layers import (
    Dropout,
    GatedModulation,
    Head,
    PreparedText,
    TextPooling,
    TimestepFeatures,
    pad_frames,
)


class MLP(nn.Module):
    """(noisy_latents (B, T, D), timesteps (B,), text, text_mask, mask) → prediction (B, T, D).

    Every frame goes through the same `depth` residual blocks, whose layer norms are scaled, shifted and gated by the
    timestep and the pooled text (adaptive layer norm, Peebles & Xie 2023, arXiv 2212.09748). Frames do not see one
    another: with num_frames 1 the model generates the pooled vector itself.
    """

    def __init__(
        self,
        latent_dim: int,
        text_dim: int,
        width: int,
        depth: int,
        expansion: int = 4,
        num_heads: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.timestep_features = TimestepFeatures(width)
        self.text_norm = nn.LayerNorm(text_dim)
        self.text_pooling = TextPooling(text_dim, width, num_heads)
        self.enter = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(Block(width, expansion, dropout) for _ in range(depth))
        self.head = Head(width, latent_dim, width)

    def prepare_text(self, text: Tensor, text_mask: Tensor | None = None) -> PreparedText:
        """Pooled features of token states (B, L, C)."""
        return PreparedText(self.text_pooling(self.text_norm(text), text_mask))

    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        text: Tensor | PreparedText,
        text_mask: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if not isinstance(text, PreparedText):
            text = self.prepare_text(text, text_mask)
        noisy_latents, _ = pad_frames(noisy_latents, mask, multiple=1)
        features = self.timestep_features(timesteps) + text.features  # (B, F)
        frames = self.enter(noisy_latents)  # (B, T, W)
        for block in self.blocks:
            frames = block(frames, features)
        return self.head(frames, features, noisy_latents)  # (B, T, D)


class Block(nn.Module):
    """frames + gate · f(scale · norm(frames) + shift)."""

    def __init__(self, width: int, expansion: int, dropout: float):
        super().__init__()
        self.modulation = GatedModulation(width, width)
        self.enter = nn.Linear(width, expansion * width)
        self.dropout = Dropout(dropout)
        self.leave = nn.Linear(expansion * width, width)

    def forward(self, frames: Tensor, features: Tensor) -> Tensor:
        normed, gate = self.modulation(frames, features)
        return frames + gate * self.leave(self.dropout(F.gelu(self.enter(normed))))
