"""A residual MLP, frame by frame or on one pooled vector, with adaptive layer norm from timestep and text."""

import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.backbones.base import ModulatedBackbone, PreparedText
from diffgar.models.backbones.layers import Dropout, GatedModulation, Head, PositionFeatures, positions


class MLP(ModulatedBackbone):
    """A residual MLP over frames, each on its own: noisy latents (B, T, D) to predictions (B, T, D).

    Every frame goes through the same `depth` residual blocks, whose layer norms are scaled, shifted and gated by the
    timestep and the pooled text (adaptive layer norm, Peebles & Xie 2023, arXiv 2212.09748). Frames do not see one
    another, but each knows its position: with num_frames 1 the model generates the pooled vector itself, with more a
    course that the caption alone decides.
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
        super().__init__(text_dim, width, num_heads)
        self.enter = nn.Linear(latent_dim, width)
        self.position_features = PositionFeatures(width)
        self.blocks = nn.ModuleList(Block(width, expansion, dropout) for _ in range(depth))
        self.head = Head(width, latent_dim, width)

    def predict(self, noisy_latents: Tensor, features: Tensor, text: PreparedText, mask: Tensor | None) -> Tensor:
        """See `ModulatedBackbone.predict`."""
        frames = self.enter(noisy_latents) + self.position_features(positions(noisy_latents, mask))  # (B, T, W)
        for block in self.blocks:
            frames = block(frames, features)
        return self.head(frames, features, noisy_latents)  # (B, T, D)


class Block(nn.Module):
    """A residual block: frames + gate · f(scale · norm(frames) + shift), where f has one hidden layer."""

    def __init__(self, width: int, expansion: int, dropout: float):
        super().__init__()
        self.modulation = GatedModulation(width, width)
        self.enter = nn.Linear(width, expansion * width)
        self.dropout = Dropout(dropout)
        self.leave = nn.Linear(expansion * width, width)

    def forward(self, frames: Tensor, features: Tensor) -> Tensor:
        """Frames (B, T, W) to frames (B, T, W)."""
        normed, gate = self.modulation(frames, features)
        return frames + gate * self.leave(self.dropout(F.gelu(self.enter(normed))))
