"""CLAP (Wu et al. 2023, arXiv 2211.06687): 10 s of audio at 48 kHz and captions in one space of 512 dimensions.

Both published layouts load: LAION's `.pt` files and the Hugging Face folders, whose network, `transformers`' own, is
the one built here. With the same weights they give the same latents, because what decides them is fixed here and not
read from a folder: the front end's lowest frequency (50 Hz; folders say 0) and the text's layer-norm epsilon (1e-5;
folders say 1e-12, which moves the token states by 2.7e-3).
"""

import logging
import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ClapConfig
from transformers.models.clap.modeling_clap import ClapAudioModelWithProjection, ClapTextModelWithProjection

from diffgar.models.encoders.base import AudioEncoder, TextEncoder
from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram
from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.frozen import Frozen
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tokens import load_tokenizer, tokenize
from diffgar.models.encoders.pretrained.weights import RANDOM, Checkpoint, WeightsError, build, find_checkpoint
from diffgar.text_states import TextStates

log = logging.getLogger(__name__)

PUBLISHED = (
    Published("lukewys/laion_clap", ("music_audioset_epoch_15_esc_90.14.pt",)),
    Published("laion/larger_clap_music", ("config.json", "model.safetensors")),
)
TOKENIZER = "roberta-base"
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
AUDIO, TEXT = ("audio_model.*", "audio_projection.*"), ("text_model.*", "text_projection.*")
UNUSED = (  # LAION's front end, which ours replaces, its tagging heads, and what only training uses
    "audio_model.audio_encoder.spectrogram_extractor.*",
    "audio_model.audio_encoder.logmel_extractor.*",
    "audio_model.audio_encoder.tscam_conv.*",
    "audio_model.audio_encoder.head.*",
    "audio_model.audio_encoder.layers.*.attn_mask",
    "audio_transform.*",
    "text_transform.*",
    "logit_scale*",
)
BUFFERS = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")  # constants


class ClapFrontEnd(nn.Module):
    """48 kHz windows (N, 480000) to 64 Slaney mel bands in dB (N, 1, 1001, 64), 50 Hz to 14 kHz.

    The waveform is clipped and cut to 16 bits first, as LAION's own file reader does.
    """

    def __init__(self):
        super().__init__()
        bank = mel_bank(64, 1024, 48_000, 50, 14_000, scale="slaney", norm="slaney")  # (513, 64)
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(1024), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        quantised = (windows.clamp(-1, 1) * 32767).trunc() / 32767
        power = power_spectrogram(quantised, 1024, 480, self.window)  # (N, 513, 1001)
        return decibels(power.transpose(1, 2) @ self.bank).unsqueeze(1)  # (N, 1, 1001, 64)


class ClapAudioEncoder(Frozen, AudioEncoder):
    """10 s windows at 48 kHz → the projected, unit-norm audio embedding.

    weights: a LAION `.pt` file, a Hugging Face folder or hub name, or "random". model_config: sizes that differ from
    those the checkpoint tells, as {"audio_config": {…}}. dtype, compile: as `Frozen.freeze` says.
    """

    sample_rate, window_seconds, short_padding, frontend_version = 48_000, 10.0, "repeat", 1

    def __init__(
        self,
        weights: str,
        model_config: Mapping | None = None,
        name: str = "clap_htsat_base",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, remedy(weights, *PUBLISHED))
        config, state = _open(checkpoint, model_config or {})
        if config.audio_config.enable_fusion:
            raise WeightsError(f"{checkpoint} fuses several crops of long audio; take a checkpoint without fusion")
        self.name, self.dim = name, config.projection_dim
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.frontend = ClapFrontEnd()
        self.network = build(
            lambda: ClapAudioModelWithProjection(config.audio_config), checkpoint, state, may_remain=UNUSED + TEXT
        )
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        with self.full_precision():
            mel = self.frontend(self.waveforms(windows))  # (N, 1, 1001, 64)
        with self.precision():
            embedding = self.network(mel).audio_embeds  # (N, D)
        return F.normalize(embedding.float(), dim=-1)


class ClapTextEncoder(Frozen, TextEncoder):
    """Captions → RoBERTa's last hidden states (B, L, 768) and the projected, unit-norm caption embedding (B, 512).

    weights, model_config ({"text_config": {…}}), dtype, compile: as for the audio encoder. tokenizer: hub name or
    local folder.
    """

    max_tokens, frontend_version = 77, 1

    def __init__(
        self,
        weights: str,
        tokenizer: str = TOKENIZER,
        model_config: Mapping | None = None,
        name: str = "clap_text",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, remedy(weights, *PUBLISHED))
        config, state = _open(checkpoint, model_config or {})
        self.name, self.dim, self.embedding_dim = name, config.text_config.hidden_size, config.projection_dim
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.tokenizer = load_tokenizer(tokenizer, config.text_config.vocab_size, checkpoint is not None, TOKENIZER)
        self.network = build(
            lambda: ClapTextModelWithProjection(config.text_config),
            checkpoint,
            state,
            may_miss=BUFFERS,
            may_remain=UNUSED + AUDIO,
        )
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, captions: list[str]) -> TextStates:
        ids, mask, num_truncated = tokenize(self.tokenizer, captions, self.max_tokens)  # (B, L)
        ids, mask = ids.to(self.device), mask.to(self.device)
        ids = ids.masked_fill(~mask, self.network.config.pad_token_id)  # its positions are counted by this id
        with self.precision():
            output = self.network(input_ids=ids, attention_mask=mask.long())
        hidden_states = output.last_hidden_state.float() * mask.unsqueeze(-1)  # (B, L, C)
        return TextStates(hidden_states, mask, F.normalize(output.text_embeds.float(), dim=-1), num_truncated)


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


def _open(checkpoint: Checkpoint | None, sizes: Mapping) -> tuple[ClapConfig, dict[str, Tensor]]:
    """The sizes and tensors of a checkpoint of either layout; of HTSAT-base where there is none."""
    state = checkpoint.state() if checkpoint else {}
    if checkpoint:
        refuse_others(state, "CLAP", str(checkpoint))
    if checkpoint is None or any(name.startswith(("audio_branch.", "text_branch.")) for name in state):
        state = to_hugging_face(state)
        patches = state.get("audio_model.audio_encoder.patch_embed.proj.weight")
        width = 128 if patches is None else len(patches)
        architecture, depths = HTSAT.get(width, ("an unknown HTSAT", (2, 2, 12, 2)))
        log.info("%s: LAION's layout, %s", checkpoint, architecture)
        config = {"audio_config": {"patch_embeds_hidden_size": width, "hidden_size": 8 * width, "depths": depths}}
        config["audio_config"]["enable_fusion"] = any(".mel_conv2d." in name for name in state)
    else:
        log.info("%s: Hugging Face's layout", checkpoint)
        config = checkpoint.config()
    parts = {key: {**config.get(key, {}), **sizes.get(key, {})} for key in ("audio_config", "text_config")}
    parts["text_config"]["layer_norm_eps"] = 1e-5
    return ClapConfig.from_dict({**config, **sizes, **parts}), state
