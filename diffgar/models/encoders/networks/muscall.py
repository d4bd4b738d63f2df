"""MusCALL's two towers (Manco et al. 2022, arXiv 2208.12208), in pure torch, under the original's parameter names."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram

SAMPLE_RATE, SECONDS = 16_000, 20


class LogMel(nn.Module):
    """Waveforms (N, S) at 16 kHz to (N, 1, 128, S/512 + 1) dB, at most 100 dB below each clip's own maximum.

    The bank reaches to 11,025 Hz, so its top twelve bands lie above the Nyquist frequency and are empty, as they were
    in training.
    """

    def __init__(self):
        super().__init__()
        self.spectrogram, self.mel_scale = nn.Module(), nn.Module()
        self.spectrogram.register_buffer("window", torch.hann_window(1024))
        self.mel_scale.register_buffer("fb", mel_bank(128, 1024, SAMPLE_RATE, 0, 11_025, scale="htk"))  # (513, 128)

    def forward(self, waveforms: Tensor) -> Tensor:
        window = self.spectrogram.window
        power = power_spectrogram(waveforms, 1024, 512, window) / window.square().sum()  # (N, 513, F)
        level = decibels(self.mel_scale.fb.T @ power)  # (N, 128, F)
        return level.maximum(level.amax(dim=(1, 2), keepdim=True) - 100).unsqueeze(1)


class Bottleneck(nn.Module):
    """CLIP's residual block: the stride is an average pool before the last convolution, and on the shortcut."""

    def __init__(self, channels: int, planes: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.stride = stride
        self.downsample = None
        if stride > 1 or channels != 4 * planes:
            self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(self._pool(h)))
        return F.relu(h + (x if self.downsample is None else self.downsample(self._pool(x))))

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


class AttentionPool(nn.Module):
    """A map (N, C, H, W) to (N, O): what its mean attends to among the mean and every position."""

    def __init__(self, num_positions: int, dim: int, out_dim: int, heads: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(num_positions + 1, dim) / dim**0.5)
        self.k_proj, self.q_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.c_proj = nn.Linear(dim, out_dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)  # (N, H·W, C)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positional_embedding  # (N, H·W + 1, C)
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # noqa: E731  (N, h, ·, C/h)
        query, key, value = split(self.q_proj(x[:, :1])), split(self.k_proj(x)), split(self.v_proj(x))
        pooled = F.scaled_dot_product_attention(query, key, value)  # (N, h, 1, C/h)
        return self.c_proj(pooled.transpose(1, 2).flatten(1))


class AudioBackbone(nn.Module):
    """Log-mel (N, 1, 128, 626) to (N, hidden): a ResNet of CLIP's kind, pooled by attention or by the mean."""

    def __init__(self, channels: int, blocks: tuple[int, ...], hidden: int, pooling: str):
        super().__init__()
        self.spec = LogMel()
        self.conv1 = nn.Conv2d(1, channels // 2, 3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels // 2, channels // 2, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(channels // 2, channels, 3, padding=1, bias=False)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(c) for c in (channels // 2, channels // 2, channels))
        width = channels
        for stage, num_blocks in enumerate(blocks):
            planes, layers = channels * 2**stage, []
            for block in range(num_blocks):
                layers.append(Bottleneck(width, planes, stride=2 if stage and not block else 1))
                width = 4 * planes
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        if pooling == "attention":
            frames = SECONDS * SAMPLE_RATE // 512 + 1
            self.attnpool = AttentionPool((128 // 32) * (frames // 32), width, hidden, heads=8)
        else:
            self.final_linear = nn.Linear(width, hidden)

    def forward(self, mel: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(mel)))  # (N, 8, 64, 313)
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)  # (N, 16, 32, 156)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N, 512, 4, 19)
        return self.attnpool(x) if hasattr(self, "attnpool") else self.final_linear(x.mean(dim=(2, 3)))


class MuscallAudio(nn.Module):
    """The audio tower: log-mel to the projected embedding (N, 512), not normalised. pooling: attention or average."""

    def __init__(
        self,
        channels: int = 16,
        blocks: tuple[int, ...] = (3, 4, 6, 3),
        hidden_size: int = 256,
        projection_dim: int = 512,
        pooling: str = "attention",
    ):
        super().__init__()
        self.audio_backbone = AudioBackbone(channels, tuple(blocks), hidden_size, pooling)
        self.audio_projection = nn.Linear(hidden_size, projection_dim, bias=False)

    def forward(self, mel: Tensor) -> Tensor:
        return self.audio_projection(self.audio_backbone(mel))


def causal_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """(B, L, C) each; a token sees itself and those before it, so padding at the end changes no token."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))  # (B, h, L, C/h)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.to_qkv, self.out_projection = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return self.out_projection(causal_attention(*self.to_qkv(x).chunk(3, dim=-1), self.heads))


class FeedForward(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class PreNorm(nn.Module):
    def __init__(self, dim: int, fn: nn.Module):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), fn

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fn(self.norm(x))


class TextTransformer(nn.Module):
    """MusCALL's own text branch: ids (B, L) to hidden states (B, L, C). Its checkpoints' `ln_final` is never used."""

    def __init__(self, dim: int, num_layers: int, heads: int, vocab_size: int, max_tokens: int):
        super().__init__()
        self.token_embedding, self.position_embedding = nn.Embedding(vocab_size, dim), nn.Embedding(max_tokens, dim)
        self.transformer = nn.Module()
        self.transformer.layers = nn.ModuleList(
            nn.ModuleList([PreNorm(dim, Attention(dim, heads)), PreNorm(dim, FeedForward(dim))])
            for _ in range(num_layers)
        )
        self.transformer.norm_out, self.ln_final = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]  # (B, L, C)
        for attention, feed_forward in self.transformer.layers:
            x = feed_forward(attention(x))
        return self.transformer.norm_out(x)
