"""MusCALL (Manco et al. 2022, arXiv 2208.12208): 20 s of audio at 16 kHz and captions in one space of 512 dimensions.

Loads the original's training checkpoints (`best_model.pth.tar`), with either of its text branches.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.models.encoders.base import TextEncoder
from diffgar.models.encoders.networks.muscall import SAMPLE_RATE, SECONDS, MuscallAudio
from diffgar.models.encoders.networks.muscall_text import MuscallText
from diffgar.models.encoders.pretrained.frozen import Frozen, FrozenAudioEncoder
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tokens import load_tokenizer, tokenize
from diffgar.models.encoders.pretrained.weights import RANDOM, Checkpoint, build, find_checkpoint
from diffgar.text_states import TextStates

REMEDY = (
    "MusCALL's authors publish no weights: train it with their code, or ask them, and set encoder_pair.weights to its "
    "best_model.pth.tar"
)
TOKENIZER = "openai/clip-vit-base-patch32"
AUDIO, TEXT = ("audio_backbone.*", "audio_projection.*"), ("textual_head.*", "text_projection.*")
UNUSED = ("logit_scale", "audio_ssl.*", "textual_head.embeddings.position_ids")  # of training; a constant


class MuscallAudioEncoder(FrozenAudioEncoder):
    """20 s windows at 16 kHz (N, 320000) to projected, unit-norm audio embeddings (N, 512).

    weights: a MusCALL checkpoint or "random". model_config: arguments of `MuscallAudio`; the pooling is the
    checkpoint's. dtype, compile: as for `Frozen.freeze`. Raises WeightsError for weights that are absent or another
    network's.
    """

    sample_rate, window_seconds, short_padding, frontend_version = SAMPLE_RATE, float(SECONDS), "zeros", 1

    def __init__(
        self,
        weights: str,
        model_config: Mapping[str, Any] | None = None,
        name: str = "muscall_audio",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, REMEDY)
        state, sizes = _state(checkpoint), dict(model_config or {})
        if "audio_backbone.final_linear.weight" in state:
            sizes["pooling"] = "average"
        self.network = build(lambda: MuscallAudio(**sizes), checkpoint, state, may_remain=UNUSED + TEXT)
        self.name, self.dim = name, self.network.audio_projection.out_features
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        """See `AudioEncoder.encode`."""
        with self.full_precision():
            mel = self.network.audio_backbone.spec(self.waveforms(windows))  # (N, 1, 128, 626)
        with self.precision():
            embedding = self.network(mel)  # (N, D)
        return F.normalize(embedding.float(), dim=-1)


class MuscallTextEncoder(Frozen, TextEncoder):
    """Captions to token states (B, L, 512) and projected, unit-norm caption embeddings (B, 512).

    weights: a MusCALL checkpoint, whose tensors' names decide the text branch, or "random". model_config: arguments of
    `MuscallText`. tokenizer: CLIP's, by hub name or local folder. dtype, compile: as for `Frozen.freeze`. Raises
    WeightsError for weights or a tokenizer that are absent or another model's.
    """

    frontend_version = 1

    def __init__(
        self,
        weights: str,
        tokenizer: str = TOKENIZER,
        model_config: Mapping[str, Any] | None = None,
        name: str = "muscall_text",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, REMEDY)
        state, sizes = _state(checkpoint), dict(model_config or {})
        if any(key.startswith("textual_head.encoder.") for key in state):
            sizes["branch"] = "CLIPTextModel"
        self.network = build(lambda: MuscallText(**sizes), checkpoint, state, may_remain=UNUSED + AUDIO)
        self.name, self.embedding_dim = name, self.network.text_projection.out_features
        self.dim = self.network.text_projection.in_features
        self.max_tokens, vocab_size = sizes.get("max_tokens", 77), sizes.get("vocab_size", 49_408)
        self.tokenizer = load_tokenizer(tokenizer, vocab_size, checkpoint is not None, TOKENIZER)
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, captions: list[str]) -> TextStates:
        """See `TextEncoder.encode`."""
        ids, mask, num_truncated = tokenize(self.tokenizer, captions, self.max_tokens)  # (B, L)
        ids, mask = ids.to(self.device), mask.to(self.device)
        with self.precision():
            hidden_states, embedding = self.network(ids, mask)
        hidden_states = hidden_states.float() * mask.unsqueeze(-1)  # (B, L, C)
        return TextStates(hidden_states, mask, F.normalize(embedding.float(), dim=-1), num_truncated)


def _state(checkpoint: Checkpoint | None) -> dict[str, Tensor]:
    """The checkpoint's tensors, the CLIP branch under the names of transformers 5; 4 had `textual_head.text_model.`."""
    if checkpoint is None:
        return {}
    state = checkpoint.state()
    refuse_others(state, "MusCALL", str(checkpoint))
    return {name.replace("textual_head.text_model.", "textual_head.", 1): tensor for name, tensor in state.items()}
