"""The original audio encoders once more, from their formulas alone: slow, in double precision, by tensors' names.

Nothing of the package is used. Each function takes a state dict and one window (S,), and gives one vector (D,).
"""

import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STRIDES = (1, 2, 2, 2)  # of the frequencies, at the first block of each stage


def draw(name: str, shape: tuple) -> Tensor:
    """A tensor that its name alone decides, uniform (exact on any processor): weights of variance 1 / fan-in, gains,
    variances and scalars near 1, biases and means near 0."""
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if len(shape) > 1:
        return (2 * uniform - 1) * (3 / uniform[0].numel()) ** 0.5
    if name.endswith(("weight", "gain", "running_var", "scalar")):
        return 0.5 + uniform
    return 0.4 * uniform - 0.2


def drawn(network: torch.nn.Module) -> dict[str, Tensor]:
    """A state dict for a network, each tensor drawn by its name; constants of a front end are kept."""
    constants = {
        name
        for name, tensor in network.state_dict().items()
        if name.startswith("frontend.") or ".spec." in name or not tensor.is_floating_point()
    }
    return {
        name: tensor if name in constants else draw(name, tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


def mel_power(audio: np.ndarray, n_fft: int, hop: int, width: int, bands: int, top: float, norm: float | None):
    """Power of HTK mel bands (M, F) of a 16 kHz waveform: a Hann window of `width` in the middle of each frame, frames
    centred on multiples of `hop` and reflected at the ends. norm: 2 for filters of unit L2 norm."""
    padded = np.pad(np.asarray(audio, np.float64), n_fft // 2, mode="reflect")
    taper = np.zeros(n_fft)
    start = (n_fft - width) // 2
    taper[start : start + width] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    frames = np.stack([padded[i : i + n_fft] * taper for i in range(0, len(padded) - n_fft + 1, hop)])
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2  # (F, bins)
    limits = 700 * (10 ** (np.arange(bands + 2) * (math.log10(1 + top / 700) / (bands + 1))) - 1)
    hertz = np.arange(n_fft // 2 + 1) * 16_000 / n_fft
    bank = np.zeros((bands, len(hertz)))
    for band in range(bands):
        low, centre, high = limits[band : band + 3]
        bank[band] = np.clip(np.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre)), 0, None)
        if norm:
            bank[band] /= np.linalg.norm(bank[band], norm)
    return bank @ power.T, taper


def decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-10))


def scaled_gelu(x: Tensor) -> Tensor:
    return 1.7015043497085571 * x * 0.5 * (1 + torch.erf(x / 2**0.5))


class State(dict):
    """A state dict in double precision. `at("a.b")` is the part of it under that name."""

    def __init__(self, tensors):
        super().__init__({name: tensor.double() for name, tensor in tensors.items()})

    def at(self, place: str) -> "State":
        return State({name[len(place) + 1 :]: x for name, x in self.items() if name.startswith(f"{place}.")})

    def blocks(self) -> range:
        return range(len({name.split(".")[0] for name in self}))


def mule(tensors: dict[str, Tensor], audio: np.ndarray, level: float) -> Tensor:
    """MULE: standardised convolutions with gain and bias, TensorFlow's padding, GELU, the fast path beside the slow."""
    state, x = State(tensors).at("backbone"), _mule_slice(level * np.asarray(audio, np.float64))
    slow = _mule_stem(state.at("slow_stem.convs"), x, (2, 8))
    fast = _mule_stem(state.at("fast_stem.convs"), x, (2, 2))
    for i in range(4):
        fusion = state.at(f"fusions.{i}")
        fused = _same(fusion.at("conv2"), _same(fusion.at("conv1"), fast, (1, 4)))
        slow = _mule_stage(state.at(f"slow_stages.{i}.blocks"), torch.cat([slow, fused], dim=1), i)
        fast = _mule_stage(state.at(f"fast_stages.{i}.blocks"), fast, i)
    return scaled_gelu(torch.cat([slow.mean(dim=(2, 3)), fast.mean(dim=(2, 3))], dim=1))[0]


def _mule_slice(audio: np.ndarray) -> Tensor:
    power, _ = mel_power(audio, 2048, 160, 400, bands=96, top=8000, norm=2)
    mel = np.log10(10_000 * power[:, 1:] + 1)
    return torch.from_numpy((mel - mel.mean()) / max(mel.std(), 0.01))[None, None]


def _same(conv: State, x: Tensor, stride: tuple[int, int] = (1, 1)) -> Tensor:
    """A standardised convolution under TensorFlow's "same" padding: the odd row and column at the bottom and right."""
    v, (n, of) = conv["weight"], (x.shape[1] // conv["weight"].shape[1], conv["weight"][0].numel())
    mean, variance = v.mean(dim=(1, 2, 3), keepdim=True), v.var(dim=(1, 2, 3), keepdim=True, correction=0)
    w = (v - mean) * conv["gain"][:, None, None, None] / (variance * of).clamp(min=1e-4).sqrt()
    for axis in (2, 3):
        out = math.ceil(x.shape[axis] / stride[axis - 2])
        total = max((out - 1) * stride[axis - 2] + w.shape[axis] - x.shape[axis], 0)
        before, after = total // 2, total - total // 2
        x = F.pad(x, (0, 0, before, after) if axis == 2 else (before, after, 0, 0))
    return F.conv2d(x, w, conv["bias"], stride, groups=n)


def _mule_stem(convs: State, x: Tensor, stride: tuple[int, int]) -> Tensor:
    x = _same(convs.at("0"), x, stride)
    x = _same(convs.at("1"), scaled_gelu(x))
    x = _same(convs.at("2"), scaled_gelu(x))
    return _same(convs.at("3"), scaled_gelu(x), (2, 2))


def _mule_stage(blocks: State, x: Tensor, stage: int) -> Tensor:
    variance = 1.0 if stage == 0 else 1 + 0.2**2
    for i in blocks.blocks():
        block, down = blocks.at(str(i)), STRIDES[stage] if i == 0 else 1
        h = scaled_gelu(x) / math.sqrt(variance)
        skip = x if i else _same(block.at("skip_conv"), F.avg_pool2d(h, (down, 1)))
        for k in range(4):
            h = _same(block.at(f"convs.{k}"), scaled_gelu(h) if k else h, (down, 1) if k == 1 else (1, 1))
        se = block.at("se")
        squeezed = torch.relu(h.mean(dim=(2, 3)) @ se["fc1.weight"].T + se["fc1.bias"])
        excited = 2 * torch.sigmoid(squeezed @ se["fc2.weight"].T + se["fc2.bias"])
        x, variance = skip + 0.2 * block["skip_gain"] * h * excited[:, :, None, None], variance + 0.2**2
    return x


def mulooc(tensors: dict[str, Tensor], audio: np.ndarray, head: int | None = None) -> Tensor:
    """MuLOOC: batch norm in the stems, ReLU, the fast path behind the slow one, ReLU after both fusing convolutions."""
    state = State(tensors)
    encoder, power = state.at("encoder"), mel_power(audio, 2048, 160, 400, bands=96, top=8000, norm=None)[0]
    x = torch.from_numpy(decibels(power))[None, None]
    slow, fast = (_mulooc_stem(encoder.at(f"{name}_stem.layers"), x, (2, s)) for name, s in (("slow", 8), ("fast", 2)))
    for i in range(4):
        fusion = encoder.at(f"fusion_layers.{i}")
        fused = torch.relu(_standard(fusion.at("conv1.conv"), fast, (1, 4)))
        fused = torch.relu(_standard(fusion.at("conv2.conv"), fused))
        slow = _mulooc_stage(encoder.at(f"slow_layers.{i}.blocks"), torch.cat([slow, fused], dim=3), STRIDES[i])
        fast = _mulooc_stage(encoder.at(f"fast_layers.{i}.blocks"), fast, STRIDES[i])
    vector = scaled_gelu(torch.cat([slow.mean(dim=(2, 3)), fast.mean(dim=(2, 3))], dim=1))[0]
    if head is not None:
        vector = torch.relu(state[f"heads.{head}.0.weight"] @ vector)
        vector = torch.relu(state[f"heads.{head}.2.weight"] @ vector)
    return vector


def _mulooc_stem(layers: State, x: Tensor, stride: tuple[int, int]) -> Tensor:
    for i, step in zip((0, 3, 6, 9), (stride, (1, 1), (1, 1), (2, 2)), strict=True):
        conv = layers.at(str(i))
        padding = tuple(size // 2 for size in conv["weight"].shape[2:])
        x = torch.relu(_batch_norm(layers.at(str(i + 1)), F.conv2d(x, conv["weight"], conv["bias"], step, padding)))
    return x


def _standard(conv: State, x: Tensor, stride=(1, 1), padding=(0, 0)) -> Tensor:
    """A standardised convolution of sample variance, without gain or bias."""
    v, of = conv["weight"], conv["weight"][0].numel()
    mean, variance = v.mean(dim=(1, 2, 3), keepdim=True), v.var(dim=(1, 2, 3), keepdim=True, correction=1)
    w = (v - mean) / (variance * of).clamp(min=1e-4).sqrt()
    return F.conv2d(x, w, None, stride, padding, groups=x.shape[1] // w.shape[1])


def _mulooc_stage(blocks: State, x: Tensor, down: int) -> Tensor:
    for i in blocks.blocks():
        block, first = blocks.at(str(i)), 0 if i == 0 else 2  # where the convolutions begin
        h = block["residual_path.1.scalar" if i else "input_layers.1.scalar"] * torch.relu(x)
        skip = x if i else _standard(block.at("skip_path.1.conv"), F.avg_pool2d(h, (down, 1)))
        h = torch.relu(_standard(block.at(f"residual_path.{first}.conv"), h))
        stride = (1, 1) if i else (down, 1)
        h = torch.relu(_standard(block.at(f"residual_path.{first + 1}.conv"), h, stride, (0, 1)))
        h = torch.relu(_standard(block.at(f"residual_path.{first + 2}.conv"), h, padding=(1, 0)))
        h = _standard(block.at(f"residual_path.{first + 3}.conv"), h)
        se = block.at(f"residual_path.{first + 4}.fc")
        squeezed = torch.relu(h.mean(dim=(2, 3)) @ se["0.weight"].T + se["0.bias"])
        h = h * torch.sigmoid(squeezed @ se["2.weight"].T + se["2.bias"])[:, :, None, None]
        gain, alpha = (block[f"residual_path.{first + k}.scalar"] for k in (5, 6))
        x = skip + gain * alpha * h
    return x


def muscall(tensors: dict[str, Tensor], audio: np.ndarray, blocks: tuple[int, ...], heads: int = 8) -> Tensor:
    """MusCALL's audio tower, of unit norm: a CLIP-style ResNet over decibels, pooled by attention or by the mean."""
    state = State(tensors).at("audio_backbone")
    power, taper = mel_power(audio, 1024, 512, 1024, bands=128, top=11_025, norm=None)
    level = decibels(power / (taper**2).sum())
    x = torch.from_numpy(np.maximum(level, level.max() - 100))[None, None]
    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = torch.relu(_batch_norm(state.at(f"bn{i}"), F.conv2d(x, state[f"conv{i}.weight"], None, stride, 1)))
    x = F.avg_pool2d(x, 2)
    for stage, num_blocks in enumerate(blocks):
        for i in range(num_blocks):
            x = _bottleneck(state.at(f"layer{stage + 1}.{i}"), x, 2 if stage and i == 0 else 1)
    x = _attended(state.at("attnpool"), x[0], heads) if "attnpool.q_proj.weight" in state else (
        state["final_linear.weight"] @ x.mean(dim=(2, 3))[0] + state["final_linear.bias"]
    )  # fmt: skip
    vector = State(tensors)["audio_projection.weight"] @ x
    return vector / vector.norm()


def _batch_norm(norm: State, x: Tensor) -> Tensor:
    scale = norm["weight"] / (norm["running_var"] + 1e-5).sqrt()
    shift = norm["bias"] - norm["running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def _bottleneck(block: State, x: Tensor, stride: int) -> Tensor:
    h = torch.relu(_batch_norm(block.at("bn1"), F.conv2d(x, block["conv1.weight"])))
    h = torch.relu(_batch_norm(block.at("bn2"), F.conv2d(h, block["conv2.weight"], padding=1)))
    h = _batch_norm(block.at("bn3"), F.conv2d(F.avg_pool2d(h, stride), block["conv3.weight"]))
    if "downsample.0.weight" in block:
        x = _batch_norm(block.at("downsample.1"), F.conv2d(F.avg_pool2d(x, stride), block["downsample.0.weight"]))
    return torch.relu(h + x)


def _attended(pool: State, x: Tensor, heads: int) -> Tensor:
    """What the mean of all positions of a map (C, H, W) attends to, among itself and them."""
    tokens = x.flatten(1).T  # (H·W, C)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens]) + pool["positional_embedding"]
    query, key, value = (tokens @ pool[f"{k}_proj.weight"].T + pool[f"{k}_proj.bias"] for k in "qkv")
    width, parts = x.shape[0] // heads, []
    for head in range(heads):
        part = slice(width * head, width * (head + 1))
        weights = (key[:, part] @ query[0, part] / width**0.5).softmax(dim=0)  # (H·W + 1,)
        parts.append(weights @ value[:, part])
    return pool["c_proj.weight"] @ torch.cat(parts) + pool["c_proj.bias"]
