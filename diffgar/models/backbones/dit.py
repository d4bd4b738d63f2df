"""A small diffusion transformer over frames (Peebles & Xie 2023), with cross-attention to the text's token states."""

import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.backbones.attention import CrossAttention, KeysValues, SelfAttention
from diffgar.models.backbones.base import ModulatedBackbone, PreparedText
from diffgar.models.backbones.layers import Dropout, GatedModulation, Head, PositionFeatures, positions


class DiT(ModulatedBackbone):
    """A diffusion transformer over frames: noisy latents (B, T, D) to predictions (B, T, D).

    It has `depth` blocks of `num_heads` heads: self-attention over the valid frames, cross-attention to the
    tokens (as in PixArt-α, Chen et al. 2024, arXiv 2310.00426), and a feed-forward layer under adaptive layer norm
    from the timestep and the pooled text (arXiv 2212.09748). The features of the frames' relative positions are
    added to the frames. The gates start near one rather than at zero, so that every parameter learns from the first
    step.
    """

    def __init__(
        self,
        latent_dim: int,
        text_dim: int,
        width: int,
        depth: int,
        num_heads: int,
        expansion: int = 4,
        dropout: float = 0.0,
    ):
        super().__init__(text_dim, width, num_heads)
        self.enter = nn.Linear(latent_dim, width)
        self.position_features = PositionFeatures(width)
        self.blocks = nn.ModuleList(Block(width, text_dim, num_heads, expansion, dropout) for _ in range(depth))
        self.head = Head(width, latent_dim, width)

    def predict(self, noisy_latents: Tensor, features: Tensor, text: PreparedText, mask: Tensor | None) -> Tensor:
        """See `ModulatedBackbone.predict`."""
        frames = self.enter(noisy_latents) + self.position_features(positions(noisy_latents, mask))  # (B, T, W)
        for block, keys_values in zip(self.blocks, text.keys_values, strict=True):
            frames = block(frames, features, mask, keys_values, text.mask)
        return self.head(frames, features, noisy_latents)  # (B, T, D)


class Block(nn.Module):
    """Frames attend to frames, then to tokens, then each goes through a modulated feed-forward layer."""

    def __init__(self, width: int, text_dim: int, num_heads: int, expansion: int, dropout: float):
        super().__init__()
        self.frames_modulation = GatedModulation(width, width)
        self.to_frames = SelfAttention(width, num_heads, width // num_heads, norm=False)
        self.to_text = CrossAttention(width, num_heads, width // num_heads, context_dim=text_dim)
        self.modulation = GatedModulation(width, width)
        self.enter = nn.Linear(width, expansion * width)
        self.dropout = Dropout(dropout)
        self.leave = nn.Linear(expansion * width, width)

    def forward(
        self, frames: Tensor, features: Tensor, mask: Tensor | None, keys_values: KeysValues, text_mask: Tensor
    ) -> Tensor:
        """Frames (B, T, W) to frames (B, T, W); mask (B, T), keys_values and text_mask (B, L): the caption's."""
        normed, gate = self.frames_modulation(frames, features)
        frames = frames + gate * self.to_frames(normed, mask)
        frames = frames + self.to_text(frames, keys_values, text_mask)
        normed, gate = self.modulation(frames, features)
        return frames + gate * self.leave(self.dropout(F.gelu(self.enter(normed))))  # (B, T, W)
