"""CLAP (Wu et al. 2023, arXiv 2211.06687): 10 s of audio at 48 kHz and captions in one space of 512 dimensions.

Both published layouts load (see `clap_layouts.py`), into the network of `transformers`. The front end's lowest
frequency is fixed here at 50 Hz, which the weights were trained with; Hugging Face's folders say 0.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.clap.modeling_clap import ClapAudioModelWithProjection, ClapTextModelWithProjection

from diffgar.models.encoders.base import TextEncoder
from diffgar.models.encoders.networks.mel import decibels, mel_bank, power_spectrogram
from diffgar.models.encoders.pretrained.clap_layouts import open_clap
from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.frozen import Frozen, FrozenAudioEncoder
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.tokens import load_tokenizer, tokenize
from diffgar.models.encoders.pretrained.weights import RANDOM, build, find_checkpoint
from diffgar.text_states import TextStates

PUBLISHED = (
    Published("lukewys/laion_clap", ("music_audioset_epoch_15_esc_90.14.pt",)),
    Published("laion/larger_clap_general", ("config.json", "model.safetensors")),
)
TOKENIZER = "roberta-base"
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

    The waveform is clipped and rounded towards zero to 16 bits first, as by LAION's own file reader.
    """

    bank: Tensor  # (513, 64)
    window: Tensor  # (1024,)

    def __init__(self) -> None:
        super().__init__()
        bank = mel_bank(64, 1024, 48_000, 50, 14_000, scale="slaney", norm="slaney")
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(1024), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Windows (N, 480000) to log-mel (N, 1, 1001, 64)."""
        quantised = (windows.clamp(-1, 1) * 32767).trunc() / 32767
        power = power_spectrogram(quantised, 1024, 480, self.window)  # (N, 513, 1001)
        return decibels(power.transpose(1, 2) @ self.bank).unsqueeze(1)  # (N, 1, 1001, 64)


class ClapAudioEncoder(FrozenAudioEncoder):
    """10 s windows at 48 kHz (N, 480000) to projected, unit-norm audio embeddings (N, 512).

    weights: a LAION `.pt` file, a Hugging Face folder or hub name, or "random". model_config: sizes that differ from
    the checkpoint's, as {"audio_config": {…}}. dtype, compile: as for `Frozen.freeze`. Raises WeightsError for weights
    that are absent, another network's, or fuse several crops.
    """

    sample_rate, window_seconds, short_padding, frontend_version = 48_000, 10.0, "repeat", 1

    def __init__(
        self,
        weights: str,
        model_config: Mapping[str, Any] | None = None,
        name: str = "clap_htsat_base",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, remedy(weights, *PUBLISHED))
        layout = open_clap(checkpoint, model_config or {})
        if layout.audio.enable_fusion:
            raise WeightsError(f"{checkpoint} fuses several crops of long audio; take a checkpoint without fusion")
        self.name, self.dim = name, layout.projection_dim
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.frontend = ClapFrontEnd()
        self.network = build(
            lambda: ClapAudioModelWithProjection(layout.audio), checkpoint, layout.state, may_remain=UNUSED + TEXT
        )
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        """See `AudioEncoder.encode`."""
        with self.full_precision():
            mel = self.frontend(self.waveforms(windows))  # (N, 1, 1001, 64)
        with self.precision():
            embedding = self.network(mel).audio_embeds  # (N, D)
        return F.normalize(embedding.float(), dim=-1)


class ClapTextEncoder(Frozen, TextEncoder):
    """Captions to RoBERTa's last hidden states (B, L, 768) and projected, unit-norm caption embeddings (B, 512).

    weights, model_config ({"text_config": {…}}), dtype, compile: as for `ClapAudioEncoder`. tokenizer: a hub name or
    local folder.
    """

    max_tokens, frontend_version = 77, 1

    def __init__(
        self,
        weights: str,
        tokenizer: str = TOKENIZER,
        model_config: Mapping[str, Any] | None = None,
        name: str = "clap_text",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, remedy(weights, *PUBLISHED))
        layout = open_clap(checkpoint, model_config or {})
        self.name, self.dim, self.embedding_dim = name, layout.text.hidden_size, layout.projection_dim
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.tokenizer = load_tokenizer(tokenizer, layout.text.vocab_size, checkpoint is not None, TOKENIZER)
        self.network = build(
            lambda: ClapTextModelWithProjection(layout.text),
            checkpoint,
            layout.state,
            may_miss=BUFFERS,
            may_remain=UNUSED + AUDIO,
        )
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, captions: list[str]) -> TextStates:
        """See `TextEncoder.encode`."""
        ids, mask, num_truncated = tokenize(self.tokenizer, captions, self.max_tokens)  # (B, L)
        ids, mask = ids.to(self.device), mask.to(self.device)
        pad_id = self.network.config.pad_token_id
        assert pad_id is not None  # RoBERTa counts positions by it
        ids = ids.masked_fill(~mask, pad_id)
        with self.precision():
            output = self.network(input_ids=ids, attention_mask=mask.long())
        hidden_states = output.last_hidden_state.float() * mask.unsqueeze(-1)  # (B, L, C)
        return TextStates(hidden_states, mask, F.normalize(output.text_embeds.float(), dim=-1), num_truncated)
