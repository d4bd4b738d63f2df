"""A 1-D U-Net over frames, modulated by the timestep and attending to the text's token states in its depth."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.backbones.layers import (
    CrossAttention,
    PreparedText,
    SelfAttention,
    TimestepEmbedding,
    masked_mean,
)


class UNet(nn.Module):
    """(noisy_latents (B, T, D), timesteps (B,), text, text_mask, mask) → prediction (B, T, D).

    Level i shortens time by factors[i] into channels[i], runs num_blocks[i] residual blocks, and where attentions[i]
    is set self-attention and cross-attention; on the way up the same again with the skip added. Norms are per frame,
    so that neither the length nor padding frames change what a frame becomes. After Schneider et al. 2023 (Moûsai,
    arXiv 2301.11757), whose U-Net the published GD-Retriever uses.
    """

    def __init__(
        self,
        latent_dim: int,
        text_dim: int,
        channels: Sequence[int],
        factors: Sequence[int],
        num_blocks: Sequence[int],
        attentions: Sequence[int],
        num_heads: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        width = channels[0]
        self.factor = math.prod(factors)
        self.time = TimestepEmbedding(width)
        self.pooled_text = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, width))
        self.enter = nn.Conv1d(latent_dim, width, 3, padding=1)
        widths = [width, *channels]
        self.levels = nn.ModuleList(
            Level(widths[i], widths[i + 1], factors[i], num_blocks[i], attentions[i], width, text_dim, num_heads, dropout)
            for i in range(len(channels))
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, latent_dim))

    def prepare_text(self, text: Tensor, text_mask: Tensor | None = None) -> PreparedText:
        """Keys, values and the pooled text of token states (B, L, C): once per caption."""
        keys_values = [attention.keys_values(text) for attention in self._cross_attentions()]
        mask = None if text_mask is None else text_mask[:, None, None, :]
        return PreparedText(keys_values, mask, self.pooled_text(masked_mean(text, text_mask)))

    def _cross_attentions(self) -> list[CrossAttention]:
        return [module for module in self.modules() if isinstance(module, CrossAttention)]

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
        length = noisy_latents.shape[1]
        missing = -length % self.factor
        if mask is None:
            mask = torch.ones(noisy_latents.shape[:2], dtype=torch.bool, device=noisy_latents.device)
        mask = F.pad(mask, (0, missing))  # (B, T')
        x = F.pad(noisy_latents, (0, 0, 0, missing)) * mask.unsqueeze(-1)
        condition = self.time(timesteps) + text.pooled  # (B, W)
        x = self.enter(x.transpose(1, 2))  # (B, W, T')
        masks, skips, places = [mask], [], iter(text.keys_values)
        for level in self.levels:
            skips.append(x)
            masks.append(shorten_mask(masks[-1], level.factor))
            x = level.down(x, masks[-2], masks[-1], condition, places, text.mask)
        for level, skip in zip(reversed(self.levels), reversed(skips), strict=True):
            inner = masks.pop()
            x = level.up(x, inner, masks[-1], condition, skip)
        return self.leave(x.transpose(1, 2))[:, :length]  # (B, T, D)


def shorten_mask(mask: Tensor, factor: int) -> Tensor:
    """A frame after shortening is valid if any of the frames it came from is."""
    return mask.unflatten(1, (-1, factor)).any(dim=2)


class Level(nn.Module):
    """One depth of the U-Net, down and up."""

    def __init__(
        self,
        outer: int,
        inner: int,
        factor: int,
        num_blocks: int,
        attention: int,
        condition: int,
        text_dim: int,
        num_heads: int,
        dropout: float,
    ):
        super().__init__()
        self.factor = factor
        self.shorten = nn.Conv1d(outer, inner, factor, stride=factor)
        self.down_blocks = nn.ModuleList(ResBlock(inner, condition, dropout) for _ in range(num_blocks))
        self.attention = SelfAttention(inner, num_heads) if attention else None
        self.cross_attention = CrossAttention(inner, text_dim, num_heads) if attention else None
        self.up_blocks = nn.ModuleList(ResBlock(inner, condition, dropout) for _ in range(num_blocks))
        self.lengthen = nn.ConvTranspose1d(inner, outer, factor, stride=factor)

    def down(self, x: Tensor, outer_mask: Tensor, mask: Tensor, condition: Tensor, places, text_mask) -> Tensor:
        x = self.shorten(x * outer_mask.unsqueeze(1))  # (B, C, T / factor)
        for block in self.down_blocks:
            x = block(x, mask, condition)
        if self.attention is not None:
            x = self.attention(x.transpose(1, 2), mask)  # (B, T / factor, C)
            x = self.cross_attention(x, next(places), text_mask).transpose(1, 2)
        return x

    def up(self, x: Tensor, mask: Tensor, outer_mask: Tensor, condition: Tensor, skip: Tensor) -> Tensor:
        for block in self.up_blocks:
            x = block(x, mask, condition)
        return self.lengthen(x) + skip  # (B, C_outer, T)


class ResBlock(nn.Module):
    """Two convolutions with per-frame norm, the second scaled and shifted by the condition, and a residual."""

    def __init__(self, width: int, condition: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.conv1 = nn.Conv1d(width, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1)
        self.modulation = nn.Linear(condition, 2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        mask = mask.unsqueeze(1)  # (B, 1, T)
        scale, shift = self.modulation(F.silu(condition)).unsqueeze(-1).chunk(2, dim=1)  # (B, C, 1)
        h = F.silu(self.norm1(x.transpose(1, 2)).transpose(1, 2))
        h = self.conv1(h * mask)  # (B, C, T)
        h = self.norm2(h.transpose(1, 2)).transpose(1, 2) * (1 + scale) + shift
        return x + self.conv2(self.dropout(F.silu(h)) * mask)
