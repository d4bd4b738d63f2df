"""The two published layouts of CLAP's weights: LAION's `.pt` files and Hugging Face's folders.

The text's layer-norm epsilon is fixed here at 1e-5, so that the same weights give the same latents from both; folders
say 1e-12, which moves the token states by 2.7e-3.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from transformers import ClapAudioConfig, ClapConfig, ClapTextConfig

from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.weights import Checkpoint

log = logging.getLogger(__name__)

HTSAT = {  # by the width of the patch embedding: LAION's names, and the depths of the four stages
    96: ("HTSAT-tiny", (2, 2, 6, 2)),
    128: ("HTSAT-base", (2, 2, 12, 2)),
    256: ("HTSAT-large", (2, 2, 12, 2)),
}
RENAMINGS = (  # from LAION's names to Hugging Face's
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.bn0\.", ".batch_norm."),
    (r"_projection\.0\.", "_projection.linear1."),
    (r"_projection\.2\.", "_projection.linear2."),
)


class ClapLayout(NamedTuple):
    """Sizes of CLAP's two networks and of their joint space, and all tensors under Hugging Face's names."""

    audio: ClapAudioConfig
    text: ClapTextConfig
    projection_dim: int
    state: dict[str, Tensor]


def open_clap(checkpoint: Checkpoint | None, sizes: Mapping[str, Any]) -> ClapLayout:
    """The sizes and tensors of a checkpoint of either layout; without one, the sizes of HTSAT-base and no tensors.

    sizes: those that differ from the checkpoint's, as {"audio_config": {…}}.
    """
    state = checkpoint.state() if checkpoint else {}
    if checkpoint:
        refuse_others(state, "CLAP", str(checkpoint))
    if checkpoint is None or any(name.startswith(("audio_branch.", "text_branch.")) for name in state):
        state = to_hugging_face(state)
        config = {"audio_config": laion_audio_config(state, str(checkpoint))}
    else:
        log.info("%s: Hugging Face's layout", checkpoint)
        config = checkpoint.config()
    parts = {key: {**config.get(key, {}), **sizes.get(key, {})} for key in ("audio_config", "text_config")}
    parts["text_config"]["layer_norm_eps"] = 1e-5
    whole = ClapConfig.from_dict({**config, **sizes, **parts})
    audio, text = whole.audio_config, whole.text_config
    assert isinstance(audio, ClapAudioConfig) and isinstance(text, ClapTextConfig)  # transformers declares them wider
    return ClapLayout(audio, text, whole.projection_dim, state)


def laion_audio_config(state: Mapping[str, Tensor], source: str) -> dict[str, Any]:
    """The sizes of LAION's audio network, read from its tensors; of HTSAT-base where there are none."""
    patches = state.get("audio_model.audio_encoder.patch_embed.proj.weight")
    width = 128 if patches is None else len(patches)
    architecture, depths = HTSAT.get(width, ("an unknown HTSAT", (2, 2, 12, 2)))
    log.info("%s: LAION's layout, %s", source, architecture)
    fuses = any(".mel_conv2d." in name for name in state)
    return {"patch_embeds_hidden_size": width, "hidden_size": 8 * width, "depths": depths, "enable_fusion": fuses}


def to_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of LAION's layout under Hugging Face's names, the fused query, key and value split."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in RENAMINGS:
            name = re.sub(pattern, replacement, name)
        if ".self.qkv." in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace("qkv", part)] = third
        else:
            renamed[name] = tensor
    return renamed
