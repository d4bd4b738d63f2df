"""A residual MLP, frame by frame or on one pooled vector, with adaptive layer norm from timestep and text."""

import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.backbones.layers import PreparedText, TimestepEmbedding, masked_mean


class MLP(nn.Module):
    """(noisy_latents (B, T, D), timesteps (B,), text, text_mask, mask) → prediction (B, T, D).

    Every frame goes through the same `depth` residual blocks, whose layer norms are scaled, shifted and gated by the
    timestep and the mean of the token states (adaLN-zero, Peebles & Xie 2023, arXiv 2212.09748). Frames do not see
    one another: with num_frames 1 the model generates the pooled vector itself.
    """

    def __init__(self, latent_dim: int, text_dim: int, width: int, depth: int, expansion: int = 4, dropout: float = 0.0):
        super().__init__()
        self.time = TimestepEmbedding(width)
        self.pooled_text = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(Block(width, expansion, dropout) for _ in range(depth))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, latent_dim))

    def prepare_text(self, text: Tensor, text_mask: Tensor | None = None) -> PreparedText:
        """The pooled text of token states (B, L, C): once per caption."""
        return PreparedText([], None, self.pooled_text(masked_mean(text, text_mask)))

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
        condition = F.silu(self.time(timesteps) + text.pooled).unsqueeze(1)  # (B, 1, W)
        x = self.enter(noisy_latents)  # (B, T, W)
        for block in self.blocks:
            x = block(x, condition)
        return self.leave(x)  # (B, T, D)


class Block(nn.Module):
    """x + gate · f(scale · norm(x) + shift)."""

    def __init__(self, width: int, expansion: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        self.layers = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(expansion * width, width)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(condition).chunk(3, dim=-1)  # (B, 1, W) each
        return x + gate * self.layers(self.norm(x) * (1 + scale) + shift)
