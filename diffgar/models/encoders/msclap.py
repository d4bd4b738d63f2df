"""Microsoft's CLAP of 2023 (Elizalde et al., arXiv 2309.05767): 7 s of audio and captions in one space of 1,024.

Loads `CLAP_weights_2023.pth`, which holds HTSAT for audio, its filter bank, and GPT-2 for captions. The weights are
under the Microsoft Public License.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import ClapAudioConfig, GPT2Config

from diffgar.models.encoders.base import TextEncoder
from diffgar.models.encoders.clap import UNUSED
from diffgar.models.encoders.networks.msclap import MsClapAudio, MsClapText
from diffgar.models.encoders.pretrained.clap_layouts import to_hugging_face
from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.frozen import Frozen, FrozenAudioEncoder
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.tokens import load_tokenizer, tokenize
from diffgar.models.encoders.pretrained.weights import RANDOM, Checkpoint, build, find_checkpoint
from diffgar.text_states import TextStates

PUBLISHED = Published("microsoft/msclap", ("CLAP_weights_2023.pth",))
TOKENIZER = "gpt2"
PADDING, END = "!", " <|endoftext|>"  # GPT-2 has no token for padding: the original takes its first, and marks the end
HTSAT = {"patch_embeds_hidden_size": 96, "hidden_size": 768, "depths": (2, 2, 6, 2)}
PROJECTION_DIM = 1024
OTHERS = {  # a prefix of the tensors' names: what else Microsoft has published
    "audio_encoder.base.conv_block1.": "the version of 2022, Cnn14 and BERT",
    "clap_project.": "clapcap, which writes captions",
}
AUDIO_NAMES = (  # from Microsoft's names to those that `to_hugging_face` takes, and to ours
    (r"^audio_encoder\.base\.htsat\.logmel_extractor\.melW$", "bank"),
    (r"^audio_encoder\.base\.htsat\.", "audio_branch."),
    (r"^audio_encoder\.", ""),
)
TEXT_UNUSED = ("gpt2.h.*.attn.bias", "gpt2.h.*.attn.masked_bias")  # the causal mask as a constant


class MsClapAudioEncoder(FrozenAudioEncoder):
    """7 s windows at 44.1 kHz (N, 308700) to projected, unit-norm audio embeddings (N, 1024).

    weights: the file of 2023, or "random". model_config: sizes that differ from the published ones, as
    {"audio_config": {…}, "projection_dim": …}. dtype, compile: as for `Frozen.freeze`. Raises WeightsError for weights
    that are absent or another network's, those of 2022 among them.
    """

    sample_rate, window_seconds, short_padding, frontend_version = 44_100, 7.0, "repeat", 1

    def __init__(
        self,
        weights: str,
        model_config: Mapping[str, Any] | None = None,
        name: str = "msclap_htsat",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint, sizes = find_checkpoint(weights, remedy(weights, PUBLISHED)), model_config or {}
        config = ClapAudioConfig(**{**HTSAT, **sizes.get("audio_config", {})})
        self.name, self.dim = name, sizes.get("projection_dim", PROJECTION_DIM)
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        state = to_hugging_face(_part(checkpoint, "audio_encoder.", AUDIO_NAMES))
        self.network = build(lambda: MsClapAudio(config, self.dim), checkpoint, state, may_remain=UNUSED)
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> Tensor:
        """See `AudioEncoder.encode`."""
        with self.full_precision():
            mel = self.network.mel(self.waveforms(windows))  # (N, 1, 965, 64)
        with self.precision():
            embedding = self.network(mel)  # (N, D)
        return F.normalize(embedding.float(), dim=-1)


class MsClapTextEncoder(Frozen, TextEncoder):
    """Captions to GPT-2's last hidden states (B, L, 768) and projected, unit-norm caption embeddings (B, 1024).

    weights, model_config ({"text_config": {…}, "projection_dim": …}), dtype, compile: as for `MsClapAudioEncoder`.
    tokenizer: a hub name or local folder.
    """

    max_tokens, frontend_version = 77, 1

    def __init__(
        self,
        weights: str,
        tokenizer: str = TOKENIZER,
        model_config: Mapping[str, Any] | None = None,
        name: str = "msclap_text",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint, sizes = find_checkpoint(weights, remedy(weights, PUBLISHED)), model_config or {}
        config = GPT2Config(**sizes.get("text_config", {}))
        self.name, self.dim = name, config.hidden_size
        self.embedding_dim = dim = sizes.get("projection_dim", PROJECTION_DIM)
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.tokenizer = load_tokenizer(tokenizer, config.vocab_size, checkpoint is not None, TOKENIZER, PADDING)
        state = _part(
            checkpoint, "caption_encoder.", ((r"^caption_encoder\.base\.", "gpt2."), (r"^caption_encoder\.", ""))
        )
        self.network = build(lambda: MsClapText(config, dim), checkpoint, state, may_remain=TEXT_UNUSED)
        self.freeze(self.network, dtype, compile)

    @torch.no_grad()
    def encode(self, captions: list[str]) -> TextStates:
        """See `TextEncoder.encode`."""
        ended = [caption + END for caption in captions]
        ids, mask, num_truncated = tokenize(self.tokenizer, ended, self.max_tokens)  # (B, L)
        ids, mask = ids.to(self.device), mask.to(self.device)
        with self.precision():
            states, embedding = self.network(ids, mask)  # (B, L, C), (B, D)
        states = states.float() * mask.unsqueeze(-1)
        return TextStates(states, mask, F.normalize(embedding.float(), dim=-1), num_truncated)


def _part(checkpoint: Checkpoint | None, prefix: str, renamings: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    """The checkpoint's tensors under one of its two encoders' prefix, renamed; none without a checkpoint."""
    if checkpoint is None:
        return {}
    state = checkpoint.state()
    for other, what in OTHERS.items():
        if any(name.startswith(other) for name in state):
            raise WeightsError(f"{checkpoint} is {what}; read here is {PUBLISHED.files[0]} of {PUBLISHED.repo}")
    refuse_others(state, "Microsoft's CLAP", str(checkpoint))
    part = {}
    for name, tensor in state.items():
        if name.startswith(prefix):
            for pattern, replacement in renamings:
                name = re.sub(pattern, replacement, name)
            part[name] = tensor
    return part
