"""T5 (Raffel et al. 2020, arXiv 1910.10683) and Flan-T5 (Chung et al. 2022, arXiv 2210.11416): states of tokens.

They were trained on text alone, so that no audio encoder shares a space with them.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers import T5Config, T5EncoderModel

from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.token_states import TokenStates
from diffgar.models.encoders.pretrained.tokens import load_tokenizer
from diffgar.models.encoders.pretrained.weights import RANDOM, build, find_checkpoint

FLAN_T5 = "google/flan-t5-base"
PUBLISHED = Published(FLAN_T5, ("config.json", "model.safetensors", "*token*", "spiece*"))
FLAN_T5_BASE = {
    "d_model": 768,
    "d_ff": 2048,
    "d_kv": 64,
    "num_layers": 12,
    "num_heads": 12,
    "feed_forward_proj": "gated-gelu",
}
DECODER = ("decoder.*", "lm_head.weight")  # whole T5 checkpoints hold it
EMBEDDING = ("shared.weight", "encoder.embed_tokens.weight")  # one tensor under two names; a file may hold either


class T5TextEncoder(TokenStates):
    """Captions to the encoder's last hidden states (B, L, C), without an embedding.

    weights: a hub name or local folder of any T5 (config.json and weights), or "random". tokenizer: None for the
    weights' own. model_config: sizes that differ from the checkpoint's, or from flan-t5-base's with random weights.
    dtype, compile: as for `Frozen.freeze`. T5 overflows in float16: as a dtype it raises ValueError, and under a
    caller's autocast to float16 the network stays in float32. Raises WeightsError for weights or a tokenizer that are
    absent or another model's.
    """

    frontend_version = 1

    def __init__(
        self,
        weights: str = FLAN_T5,
        tokenizer: str | None = None,
        model_config: Mapping[str, Any] | None = None,
        name: str = "flan_t5_base",
        max_tokens: int = 77,
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        if dtype == "float16":
            raise ValueError("T5 overflows in float16; set dtype to bfloat16 or float32")
        checkpoint = find_checkpoint(weights, remedy(weights, PUBLISHED, key="encoder_pair.text_weights"))
        state = checkpoint.state() if checkpoint else {}
        if checkpoint:
            refuse_others(state, "T5", str(checkpoint))
        sizes = {**(checkpoint.config() if checkpoint else FLAN_T5_BASE), **(model_config or {})}
        config = T5Config.from_dict(sizes)
        tied = next((state[key] for key in EMBEDDING if key in state), None)
        if tied is not None:
            state |= dict.fromkeys(EMBEDDING, tied)
        self.network = build(lambda: T5EncoderModel(config), checkpoint, state, may_remain=DECODER)
        self.name, self.dim, self.max_tokens = name, config.d_model, max_tokens
        own = checkpoint.origin if checkpoint else FLAN_T5  # a hub's snapshot here may hold the weights alone
        self.tokenizer = load_tokenizer(tokenizer or own, config.vocab_size, checkpoint is not None, FLAN_T5)
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.freeze(self.network, dtype, compile)

    def precision(self) -> AbstractContextManager[object]:
        """See `Frozen.precision`; float32 under an autocast to float16."""
        kind = self.device.type
        half = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
        return self.full_precision() if half and self.dtype is None else super().precision()
