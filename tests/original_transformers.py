"""CLAP and T5 once more, from their formulas alone: slow, in double precision, by Hugging Face's names of tensors.

Nothing of the package and no network of a library is used. Audio is one window (S,), text one caption's ids (L,).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from originals import State, decibels
from torch import Tensor

WINDOW = 8  # of CLAP's audio transformer, in patches


def t5(tensors: dict[str, Tensor], ids: list[int], heads: int) -> Tensor:
    """T5's encoder: token states (L, C). Attention is not scaled; distances between tokens add a learned bias."""
    state = State(tensors)
    x, bias = state["shared.weight"][ids], state["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    buckets = [[_bucket(key - query) for key in range(len(ids))] for query in range(len(ids))]
    bias = bias[torch.tensor(buckets)].permute(2, 0, 1)  # (h, L, L)
    for i in state.at("encoder.block").blocks():
        attention, dense = (state.at(f"encoder.block.{i}.layer.{k}") for k in (0, 1))
        h = _rms(x, attention["layer_norm.weight"])
        query, key, value = (_heads(h @ attention[f"SelfAttention.{k}.weight"].T, heads) for k in "qkv")
        mixed = (query @ key.transpose(1, 2) + bias).softmax(dim=-1) @ value  # (h, L, C/h)
        x = x + mixed.transpose(0, 1).flatten(1) @ attention["SelfAttention.o.weight"].T
        h, weight = _rms(x, dense["layer_norm.weight"]), dense.at("DenseReluDense")
        gate = h @ weight["wi_0.weight"].T
        gate = 0.5 * gate * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
        x = x + (gate * (h @ weight["wi_1.weight"].T)) @ weight["wo.weight"].T
    return _rms(x, state["encoder.final_layer_norm.weight"])


def _bucket(distance: int) -> int:
    """32 buckets: 16 a direction, of which 8 for each small distance, 8 logarithmically up to 128."""
    direction, distance = 16 * (distance > 0), abs(distance)
    if distance < 8:
        return direction + distance
    return direction + min(15, 8 + int(math.log(distance / 8) / math.log(128 / 8) * 8))


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt() * weight


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)  # (…, h, L, C/h)


def _linear(layer: State, x: Tensor) -> Tensor:
    return x @ layer["weight"].T + layer["bias"]


def _norm(layer: State, x: Tensor) -> Tensor:
    mean, variance = x.mean(dim=-1, keepdim=True), x.var(dim=-1, keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-5).sqrt() * layer["weight"] + layer["bias"]


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def _projected(layers: State, x: Tensor) -> Tensor:
    """CLAP's projection of either tower, to unit norm."""
    x = _linear(layers.at("linear2"), torch.relu(_linear(layers.at("linear1"), x)))
    return x / x.norm()


def clap_text(tensors: dict[str, Tensor], ids: list[int], heads: int) -> tuple[Tensor, Tensor]:
    """CLAP's RoBERTa: token states (L, C) and the caption's embedding (P,). Positions are counted from 2."""
    state = State(tensors)
    model = state.at("text_model")
    embeddings = model.at("embeddings")
    x = embeddings["word_embeddings.weight"][ids] + embeddings["token_type_embeddings.weight"][0]
    x = _norm(embeddings.at("LayerNorm"), x + embeddings["position_embeddings.weight"][2 : 2 + len(ids)])
    for i in model.at("encoder.layer").blocks():
        layer = model.at(f"encoder.layer.{i}")
        inner = layer.at("attention.self")
        query, key, value = (_heads(_linear(inner.at(k), x), heads) for k in ("query", "key", "value"))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        mixed = (scores.softmax(dim=-1) @ value).transpose(0, 1).flatten(1)  # (L, C)
        output = layer.at("attention.output")
        x = _norm(output.at("LayerNorm"), x + _linear(output.at("dense"), mixed))
        h = _gelu(_linear(layer.at("intermediate.dense"), x))
        x = _norm(layer.at("output.LayerNorm"), x + _linear(layer.at("output.dense"), h))
    pooled = torch.tanh(_linear(model.at("pooler.dense"), x[0]))
    return x, _projected(state.at("text_projection"), pooled)


def clap_audio(tensors: dict[str, Tensor], audio: np.ndarray, heads: list[int]) -> Tensor:
    """CLAP's HTSAT, a Swin transformer over a picture of the mel spectrogram: the audio embedding (P,)."""
    state = State(tensors)
    model, mel = state.at("audio_model.audio_encoder"), torch.from_numpy(_clap_mel(audio))  # (1001, 64)
    bands = model.at("batch_norm")
    scale = bands["weight"] / (bands["running_var"] + 1e-5).sqrt()
    mel = (mel - bands["running_mean"]) * scale + bands["bias"]
    mel = F.interpolate(mel[None, None], (1024, 64), mode="bicubic", align_corners=True)[0, 0]
    picture = mel.reshape(4, 256, 64).transpose(1, 2).reshape(256, 256)  # four quarters of the time, one below another
    patches = model.at("patch_embed")
    x = F.conv2d(picture[None, None], patches["proj.weight"], patches["proj.bias"], stride=4)[0]  # (C, 64, 64)
    x = _norm(patches.at("norm"), x.permute(1, 2, 0))  # (H, W, C)
    for i in model.at("layers").blocks():
        layer = model.at(f"layers.{i}")
        for j in layer.at("blocks").blocks():
            shift = WINDOW // 2 if j % 2 and x.shape[0] > WINDOW else 0
            x = _swin_block(layer.at(f"blocks.{j}"), x, heads[i], shift)
        if "downsample.reduction.weight" in layer:
            corners = [x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]]
            merged = _norm(layer.at("downsample.norm"), torch.cat(corners, dim=-1))
            x = merged @ layer["downsample.reduction.weight"].T
    pooled = _norm(model.at("norm"), x).mean(dim=(0, 1))
    return _projected(state.at("audio_projection"), pooled)


def _swin_block(block: State, x: Tensor, heads: int, shift: int) -> Tensor:
    """Attention among the patches of each window of 8 × 8, the picture rolled by `shift` first; then two layers."""
    size, h = x.shape[0], _norm(block.at("layernorm_before"), x)
    rolled = torch.arange(size).roll(-shift)  # which row or column stands where
    h, mixed = h[rolled][:, rolled], torch.empty_like(h)
    near = [(a, b) for a in range(WINDOW) for b in range(WINDOW)]
    side = 2 * WINDOW - 1
    index = [[(a - c + WINDOW - 1) * side + b - d + WINDOW - 1 for c, d in near] for a, b in near]
    inner = block.at("attention.self")
    bias = inner["relative_position_bias_table"][torch.tensor(index)].permute(2, 0, 1)  # (h, 64, 64)
    for top in range(0, size, WINDOW):
        for left in range(0, size, WINDOW):
            rows, columns = slice(top, top + WINDOW), slice(left, left + WINDOW)
            window = h[rows, columns].flatten(0, 1)  # (64, C)
            query, key, value = (_heads(_linear(inner.at(k), window), heads) for k in ("query", "key", "value"))
            scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias
            met = [(_edge(rolled[rows], size, shift)[a], _edge(rolled[columns], size, shift)[b]) for a, b in near]
            apart = torch.tensor([[one != other for other in met] for one in met])
            scores = scores - 100.0 * apart.double()  # patches that the roll alone brought together
            mixed[rows, columns] = (scores.softmax(dim=-1) @ value).transpose(0, 1).flatten(1).unflatten(0, (8, 8))
    back = torch.arange(size).roll(shift)
    x = x + _linear(block.at("attention.output.dense"), mixed)[back][:, back]
    h = _gelu(_linear(block.at("intermediate.dense"), _norm(block.at("layernorm_after"), x)))
    return x + _linear(block.at("output.dense"), h)


def _edge(places: Tensor, size: int, shift: int) -> list[bool]:
    """Whether each row (or column) was rolled over the edge."""
    return [bool(shift) and int(place) < shift for place in places]


def _clap_mel(audio: np.ndarray) -> np.ndarray:
    """64 Slaney bands in dB (1001, 64) of 10 s at 48 kHz, cut to 16 bits."""
    samples = np.trunc(np.clip(np.asarray(audio, np.float64), -1, 1) * 32767) / 32767
    padded = np.pad(samples, 512, mode="reflect")
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    frames = np.stack([padded[i : i + 1024] * taper for i in range(0, len(padded) - 1023, 480)])
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2  # (1001, 513)
    top = 15 + 27 * math.log(14) / math.log(6.4)
    mels = [0.75 + (top - 0.75) * i / 65 for i in range(66)]  # 50 Hz is 0.75 mel
    edges = [m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27) for m in mels]
    hertz, bands = np.arange(513) * 48_000 / 1024, []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        triangle = np.clip(np.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre)), 0, None)
        bands.append(triangle * 2 / (high - low))
    return decibels(power @ np.array(bands).T)
