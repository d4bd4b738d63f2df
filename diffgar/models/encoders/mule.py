"""MULE (McCallum et al. 2022, arXiv 2210.03799): 3 s of audio at 16 kHz to 1,728 dimensions, trained on audio alone.

Loads the published PyTorch conversion: a folder or hub name with `model.safetensors` and `config.json`. The weights are
under CC BY-NC 4.0.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffgar.models.encoders.networks.mule import SAMPLE_RATE, SECONDS, Mule
from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.frozen import FrozenAudioEncoder
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.weights import RANDOM, build, find_checkpoint

CONVERSION = Published("matteospanio/mule", ("model.safetensors", "config.json"))
SIZES = (  # of config.json, as `SlowFastNFNet` takes them
    "slow_stem_channels",
    "fast_stem_channels",
    "slow_stage_out",
    "fast_stage_out",
    "fusion_input_channels",
    "fusion_output_channels",
)
FIXED = {  # of config.json, what this front end and network are written for
    "sample_rate": 16_000,
    "n_fft": 2048,
    "hop_length": 160,
    "win_length": 400,
    "window": "hann",
    "n_mels": 96,
    "fmin": 0.0,
    "fmax": 8000.0,
    "mel_norm": 2.0,
    "htk": True,
    "power": 2.0,
    "center": True,
    "pad_mode": "reflect",
    "mag_compression": "log10_nonneg",
    "look_backward": 150,
    "look_forward": 150,
    "standard_normalize": True,
    "std_floor": 0.01,
    "alpha": 0.2,
    "ws_eps": 1e-4,
    "scaled_activation": "gelu",
    "weight_standardization": True,
}
UNUSED = ("frontend.stft.fwd_real", "frontend.stft.fwd_imag")  # the Fourier transform as a convolution


class MuleAudioEncoder(FrozenAudioEncoder):
    """3 s windows at 16 kHz (N, 48000) to the pooled activations of both paths (N, 1728), not normalised.

    weights: a folder, `model.safetensors` file or hub name, or "random". model_config: arguments of `SlowFastNFNet`
    that differ from the checkpoint's config.json. level: a factor of the waveform, above 0 and at most 1. MULE's own
    reader sums the channels of 16-bit samples over 2^16: so it reads stereo, averaged, at full scale (1.0, the default)
    and mono at half scale (0.5, for a collection of mono files). dtype, compile: as for `Frozen.freeze`. Raises
    WeightsError for weights that are absent or another network's.
    """

    sample_rate, window_seconds, short_padding, frontend_version = SAMPLE_RATE, float(SECONDS), "reflect", 2

    def __init__(
        self,
        weights: str = CONVERSION.repo,
        model_config: Mapping[str, Any] | None = None,
        name: str = "mule",
        level: float = 1.0,
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level <= 1:
            raise WeightsError(f"MULE's level is {level!r}; it must be above 0 and at most 1, such as 1.0 or 0.5")
        checkpoint = find_checkpoint(weights, f"{remedy(weights, CONVERSION)}; their licence is CC BY-NC 4.0")
        state: dict[str, Tensor] = {}
        sizes: dict[str, Any] = {}
        if checkpoint:
            state = checkpoint.state()
            refuse_others(state, "MULE", str(checkpoint))
            sizes = _sizes(checkpoint.config(), str(checkpoint))
        sizes |= model_config or {}
        self.network = build(lambda: Mule(level, **sizes), checkpoint, state, may_remain=UNUSED)
        self.name, self.dim = name, self.network.backbone.dim
        self.layer = "pooled" if level == 1 else f"pooled at level {level:g}"
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.freeze(self.network.backbone, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        """See `AudioEncoder.encode`."""
        with self.full_precision():
            slices = self.network.frontend(self.waveforms(windows))  # (N, 1, 96, 300)
        with self.precision():
            return self.network.backbone(slices).float()  # (N, D)


def _sizes(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The network's sizes; raises WeightsError for a conversion with another front end or network."""
    others = [f"{key} {config[key]} (here {value})" for key, value in FIXED.items() if config.get(key, value) != value]
    if others:
        raise WeightsError(f"the config.json beside {source} describes a different MULE variant: {', '.join(others)}")
    sizes = {key: config[key] for key in SIZES if key in config}
    groups = (config.get("slow_group_size", 128), config.get("fast_group_size", 16))
    return {**sizes, "group_sizes": groups}
