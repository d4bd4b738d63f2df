"""MuLOOC and LOEV, MULE's relatives: 3 s of audio at 16 kHz to 1,728 dimensions, or to a projection head's.

Loads the training checkpoints of Pliploop/MuLOVR (Lightning's, `encoder.*` and `heads.*`).
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from diffgar.models.encoders.base import AudioEncoder
from diffgar.models.encoders.frozen import Frozen
from diffgar.models.encoders.mule_network import SAMPLE_RATE, SECONDS
from diffgar.models.encoders.mulooc_network import FrontEnd, Mulooc
from diffgar.models.encoders.weights import RANDOM, WeightsError, build, find_checkpoint

REMEDY = (
    "The weights are not published: train them with Pliploop/MuLOVR, or ask its authors, and put the Lightning "
    "checkpoint into {folder}"
)


class MuloocAudioEncoder(Frozen, AudioEncoder):
    """3 s windows at 16 kHz → the encoder's pooled activations, or a projection head's output; not normalised.

    weights: a Lightning checkpoint or "random". layer: "encoder", or "head_0" and so on. model_config: arguments of
    `Mulooc`; the heads are the checkpoint's. dtype, compile: as `Frozen.freeze` says.
    """

    sample_rate, window_seconds, short_padding, frontend_version = SAMPLE_RATE, float(SECONDS), "reflect", 1

    def __init__(
        self,
        weights: str,
        layer: str = "encoder",
        model_config: Mapping | None = None,
        name: str = "mulooc",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, REMEDY)
        state, sizes = checkpoint.state() if checkpoint else {}, dict(model_config or {})
        if checkpoint:
            sizes["heads"] = head_sizes(state, str(checkpoint))
        self.network = build(lambda: Mulooc(**sizes), checkpoint, state)
        layers = {"encoder": None, **{f"head_{i}": i for i in range(len(self.network.heads))}}
        if layer not in layers:
            raise ValueError(f"layer {layer!r} is not in {checkpoint or weights}; choose one of {', '.join(layers)}")
        self.name, self.layer, self.head = name, layer, layers[layer]
        self.dim = self.network.encoder.dim if self.head is None else self.network.heads[self.head][2].out_features
        self.frontend = FrontEnd()
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        with self.full_precision():
            mel = self.frontend(self.waveforms(windows))  # (N, 1, 96, 301)
        with self.precision():
            return self.network(mel, self.head).float()  # (N, D)


def head_sizes(state: Mapping[str, Tensor], source: str) -> list[tuple[int, int]]:
    """Widths of the two layers of every head in a checkpoint; raises WeightsError for a head that lacks one."""
    numbers = sorted({int(match[1]) for name in state if (match := re.match(r"heads\.(\d+)\.", name))})
    names = [[f"heads.{i}.{layer}.weight" for layer in (0, 2)] for i in numbers]
    missing = [name for name in sum(names, []) if name not in state]
    if missing:
        raise WeightsError(f"{source} does not fit Mulooc: {missing[0]} is missing")
    return [(len(state[first]), len(state[second])) for first, second in names]
