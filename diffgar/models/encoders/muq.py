"""MuQ-MuLan (Zhu et al. 2025, arXiv 2501.01108): 10 s of audio at 24 kHz and captions in one space of 512 dimensions.

Loads the published checkpoint into networks of `transformers` and this package. The weights are under CC BY-NC 4.0.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffgar.models.encoders.base import TextEncoder
from diffgar.models.encoders.networks.muq import SAMPLE_RATE, SECONDS, FrontEnd, MuqAudio
from diffgar.models.encoders.networks.muq_text import MuqText
from diffgar.models.encoders.pretrained.downloads import remedy
from diffgar.models.encoders.pretrained.frozen import Frozen, FrozenAudioEncoder
from diffgar.models.encoders.pretrained.muq_settings import (
    LICENCE,
    MULAN,
    MUQ,
    ROBERTA,
    audio_settings,
    text_settings,
)
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tokens import load_tokenizer, tokenize
from diffgar.models.encoders.pretrained.weights import RANDOM, Checkpoint, build, find_checkpoint
from diffgar.text_states import TextStates

AUDIO, TEXT = ("mulan.audio.*", "mulan.audio_to_latents.*"), ("mulan.text.*", "mulan.text_to_latents.*")
CONSTANTS = ("mulan.audio.model.model.conformer.embed_positions.inv_freq",)  # the rotary embedding's frequencies
UNUSED = (  # what only training uses, MuQ's own heads, and parts that the original never calls
    "mulan.contrast.temperatures",
    "mulan.audio.aggregator.*",
    "mulan.audio.model.model.rvq.*",
    "mulan.audio.model.model.quantizer*",
    "mulan.audio.model.model.linear.*",
    "mulan.audio.model.model.cls_token",
    "mulan.audio.model.model.recon_proj.*",
    "mulan.audio.model.model.conformer.pos_conv_embed.*",
    "mulan.text.model.pooler.*",
    "mulan.text.model.embeddings.position_ids",
    "mulan.text.model.embeddings.token_type_ids",
)


class MuqAudioEncoder(FrozenAudioEncoder):
    """10 s windows at 24 kHz (N, 240000) to projected, unit-norm audio embeddings (N, 512).

    weights: a folder, `model.safetensors` file or hub name, or "random". audio_config: the hub name or folder of the
    MuQ that it is built on; only its config.json is read. model_config: settings that differ from these files', as
    {"mulan": {…}, "muq": {…}}. dtype, compile: as for `Frozen.freeze`; by default float32 even under a caller's
    autocast, for bfloat16 changes the latents by 7e-3. Raises WeightsError for weights or settings that are absent,
    another network's, or of another layer than the last.

    A track of 5 to 10 s is repeated to a window, as in the original. A shorter one the original repeats once only, and
    encodes as a clip of twice its length; here it is repeated to a whole window, too.
    """

    sample_rate, window_seconds, short_padding, frontend_version = SAMPLE_RATE, float(SECONDS), "wrap", 1

    def __init__(
        self,
        weights: str = MULAN.repo,
        audio_config: str = MUQ.repo,
        model_config: Mapping[str, Any] | None = None,
        name: str = "muq_mulan",
        dtype: str | None = "float32",
        compile: bool = False,
    ):
        super().__init__()
        checkpoint, state = _open(weights)
        settings = audio_settings(checkpoint, audio_config, model_config or {})
        self.name, self.dim = name, settings.latent_dim
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.frontend = FrontEnd(settings.mean, settings.std)
        self.network = build(
            lambda: MuqAudio(settings.conformer, settings.conv_dim, settings.transformer, settings.latent_dim),
            checkpoint,
            state,
            may_miss=CONSTANTS,
            may_remain=UNUSED + TEXT,
        )
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        """See `AudioEncoder.encode`."""
        with self.full_precision():
            mel = self.frontend(self.waveforms(windows))  # (N, 1, 128, 1000)
        with self.precision():
            return self.network(mel).float()  # (N, D)


class MuqTextEncoder(Frozen, TextEncoder):
    """Captions to the last layer's token states (B, L, 768) and projected, unit-norm caption embeddings (B, 512).

    weights, dtype, compile: as for `MuqAudioEncoder`. tokenizer: the hub name or folder of XLM-RoBERTa, whose
    config.json is read as well. model_config: settings that differ from the files', as {"mulan": {…}, "roberta": {…}}.

    The tower's own layers take no mask, so that in the original a caption's embedding changes with the captions beside
    it. Here captions of equally many tokens go through it together, and each has the embedding that it has alone. The
    original does not truncate; here captions end at `max_tokens`.
    """

    embedding_dim: int
    max_tokens, frontend_version = 77, 1

    def __init__(
        self,
        weights: str = MULAN.repo,
        tokenizer: str = ROBERTA.repo,
        model_config: Mapping[str, Any] | None = None,
        name: str = "muq_mulan_text",
        dtype: str | None = "float32",
        compile: bool = False,
    ):
        super().__init__()
        checkpoint, state = _open(weights)
        settings = text_settings(checkpoint, tokenizer, model_config or {})
        self.name, self.dim, self.embedding_dim = name, settings.transformer.dim, settings.latent_dim
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.tokenizer = load_tokenizer(tokenizer, settings.roberta.vocab_size, checkpoint is not None, ROBERTA.repo)
        self.network = build(lambda: MuqText(*settings), checkpoint, state, may_remain=UNUSED + AUDIO)
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, captions: list[str]) -> TextStates:
        """See `TextEncoder.encode`."""
        ids, mask, num_truncated = tokenize(self.tokenizer, captions, self.max_tokens)  # (B, L)
        ids, mask, lengths = ids.to(self.device), mask.to(self.device), mask.sum(dim=1).tolist()
        hidden_states = torch.zeros(*ids.shape, self.dim, device=self.device)  # (B, L, C)
        embedding = torch.zeros(len(ids), self.embedding_dim, device=self.device)  # (B, P)
        for length in sorted(set(lengths)):
            group = [caption for caption, each in enumerate(lengths) if each == length]
            with self.precision():
                states, embeddings = self.network(ids[group, :length])
            hidden_states[group, :length], embedding[group] = states.float(), embeddings.float()
        return TextStates(hidden_states, mask, embedding, num_truncated)


def _open(weights: str) -> tuple[Checkpoint | None, dict[str, Tensor]]:
    """The checkpoint, and its tensors; None, and none, for random weights."""
    checkpoint = find_checkpoint(weights, f"{remedy(weights, MULAN)}; {LICENCE}")
    state = checkpoint.state() if checkpoint else {}
    if checkpoint:
        refuse_others(state, "MuQ-MuLan", str(checkpoint))
    return checkpoint, state
