"""MuLOOC and LOEV, relatives of MULE: 3 s of audio at 16 kHz to 1,728 dimensions, or to a projection head's output.

Loads the training checkpoints of Pliploop/MuLOVR (Lightning's, `encoder.*` and `heads.*`).
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffgar.models.encoders.networks.mule import SAMPLE_RATE, SECONDS
from diffgar.models.encoders.networks.mulooc import FrontEnd, Mulooc
from diffgar.models.encoders.pretrained.frozen import FrozenAudioEncoder
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.weights import RANDOM, build, find_checkpoint

REMEDY = (
    "The weights are not published: train them with Pliploop/MuLOVR, or ask its authors, and set encoder_pair.weights "
    "to the Lightning checkpoint"
)
FRONT_END = "encoder.frontend.mel."  # two constants, in checkpoints that were trained with the front end inside


class MuloocAudioEncoder(FrozenAudioEncoder):
    """3 s windows at 16 kHz (N, 48000) to the encoder's pooled activations (N, 1728) or to projection heads' outputs.

    The latents are not normalised. weights: a Lightning checkpoint or "random". layer: "encoder"; or "head_0" and so
    on; or "heads" for all heads, concatenated, which MuLOOC's own code returns by default. model_config: arguments of
    `Mulooc`; the heads are the checkpoint's. dtype, compile: as for `Frozen.freeze`. Raises WeightsError for weights
    that are absent or another network's, and for a layer that they do not have.
    """

    sample_rate, window_seconds, short_padding, frontend_version = SAMPLE_RATE, float(SECONDS), "reflect", 2

    def __init__(
        self,
        weights: str,
        layer: str = "encoder",
        model_config: Mapping[str, Any] | None = None,
        name: str = "mulooc",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, REMEDY)
        state, sizes = checkpoint.state() if checkpoint else {}, dict(model_config or {})
        self.frontend = FrontEnd()
        if checkpoint:
            check_layout(state, self.frontend, str(checkpoint))
            sizes["heads"] = head_sizes(state, str(checkpoint))
        self.network = build(lambda: Mulooc(**sizes), checkpoint, state, may_remain=(f"{FRONT_END}*",))
        numbers = list(range(len(self.network.heads)))
        layers = {"encoder": [], **{f"head_{i}": [i] for i in numbers}, **({"heads": numbers} if numbers else {})}
        if layer not in layers:
            raise WeightsError(f"layer {layer!r} is not in {checkpoint or weights}; choose one of {', '.join(layers)}")
        self.name, self.layer, self.heads = name, layer, layers[layer]
        self.dim = sum(self.network.head_dims[i] for i in self.heads) or self.network.encoder.dim
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        """See `AudioEncoder.encode`."""
        with self.full_precision():
            mel = self.frontend(self.waveforms(windows))  # (N, 1, 96, 301)
        with self.precision():
            return self.network(mel, self.heads).float()  # (N, D)


def check_layout(state: Mapping[str, Tensor], frontend: FrontEnd, source: str) -> None:
    """Raises WeightsError for another network's checkpoint, an unsupported variant, or another front end."""
    refuse_others(state, "MuLOOC", source)
    if any(".parallels." in name for name in state):
        raise WeightsError(
            f"{source} has parallel last blocks (LOEV++, `plusplus: true`), which are not supported; take a checkpoint "
            "that was trained with plusplus: false"
        )
    bank = state.get(f"{FRONT_END}mel_scale.fb", frontend.bank)  # (1025, 96)
    window = state.get(f"{FRONT_END}spectrogram.window", frontend.window)  # (400,)
    for name, theirs, ours in (("mel bank", bank, frontend.bank), ("window", window, frontend.window)):
        if theirs.shape != ours.shape or not torch.allclose(theirs.float(), ours, atol=1e-3):
            raise WeightsError(
                f"{source} was trained with another front end: its {name} {tuple(theirs.shape)} is not that of 96 HTK "
                "bands from 0 to 8 kHz over 400 samples at 16 kHz, which is the one that is built here"
            )


def head_sizes(state: Mapping[str, Tensor], source: str) -> list[tuple[int, int]]:
    """The widths of the two layers of each head in a checkpoint. Raises WeightsError for a head that lacks one."""
    numbers = sorted({int(match[1]) for name in state if (match := re.match(r"heads\.(\d+)\.", name))})
    names = [[f"heads.{i}.{layer}.weight" for layer in (0, 2)] for i in numbers]
    missing = [name for name in sum(names, []) if name not in state]
    if missing:
        raise WeightsError(f"{source} does not fit Mulooc: {missing[0]} is missing")
    return [(len(state[first]), len(state[second])) for first, second in names]
