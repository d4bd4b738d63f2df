"""Text encoders in the layout of sentence-transformers (Reimers and Gurevych 2019, arXiv 1908.10084), such as E5, GTE.

Any folder or hub name of an encoder that transformers' AutoModel builds will do: BERT, RoBERTa, XLM-R, MPNet and more.
They were trained on text alone, so that no audio encoder shares a space with them unless it was trained to.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from diffgar.models.encoders.pretrained.downloads import Published, remedy
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.sentence_head import SentenceHead, lowers_case, open_head
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.token_states import TokenStates
from diffgar.models.encoders.pretrained.tokens import load_tokenizer
from diffgar.models.encoders.pretrained.weights import RANDOM, Checkpoint, build, find_checkpoint
from diffgar.text_states import TextStates

FILES = ("*config.json", "model.safetensors", "*token*", "modules.json", "*_Dense/model.safetensors")
E5 = Published("intfloat/e5-small-v2", FILES)
SMALL_BERT = {  # the sizes with random weights: all-MiniLM-L6-v2's
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
}
UNUSED = ("pooler.*", "cls.*", "lm_head.*", "embeddings.position_ids")  # heads of their own training, and a constant


class SentenceTransformerTextEncoder(TokenStates):
    """Captions to the last hidden states (B, L, C), and their unit-norm vector (B, P) as `modules.json` says.

    Without a modules.json beside the weights there is no vector. weights: a hub name or local folder, or "random".
    tokenizer: None for the weights' own. model_config: sizes that differ from the checkpoint's, or from `SMALL_BERT`
    with random weights. prefix: put before every caption, such as "query: " for E5. dtype, compile: as for
    `Frozen.freeze`. Raises WeightsError for weights, a head or a tokenizer that are absent or that are not read here;
    ValueError for more tokens than the network has positions.
    """

    frontend_version = 1
    published: ClassVar[Published] = E5  # what the messages advise to download

    def __init__(
        self,
        weights: str = E5.repo,
        tokenizer: str | None = None,
        model_config: Mapping[str, Any] | None = None,
        name: str = "e5_small_v2",
        max_tokens: int = 77,
        prefix: str = "",
        dtype: str | None = None,
        compile: bool = False,
    ):
        super().__init__()
        checkpoint = find_checkpoint(weights, remedy(weights, self.published, key="encoder_pair.text_weights"))
        state = checkpoint.state() if checkpoint else {}
        if checkpoint:
            refuse_others(state, "a sentence transformer", str(checkpoint), strange=True)
        sizes = {**(checkpoint.config() if checkpoint else SMALL_BERT), **(model_config or {})}
        config = _config(sizes, str(checkpoint))
        self.network = build(lambda: _network(config), checkpoint, _bare(state), may_remain=UNUSED)
        if max_tokens > (positions := _positions(self.network)):
            raise ValueError(f"max_tokens is {max_tokens}; {checkpoint or weights} has {positions} positions")
        self.name, self.dim, self.max_tokens, self.prefix = name, config.hidden_size, max_tokens, prefix
        self.layer = f"last_hidden_state after {prefix!r}" if prefix else "last_hidden_state"
        own = tokenizer or (checkpoint.origin if checkpoint else self.published.repo)
        self.tokenizer = load_tokenizer(own, config.vocab_size, checkpoint is not None, self.published.repo)
        self.lower = checkpoint is not None and lowers_case(checkpoint)
        self.head = open_head(checkpoint, self.dim) if checkpoint else SentenceHead("mean", (), (), self.dim)
        self.embedding_dim = None if self.head is None else self.head.dim
        further = () if self.head is None else self.head.files
        self.checkpoint_hash = Checkpoint((*checkpoint.files, *further)).hash if checkpoint else RANDOM
        self.freeze(self.network, dtype, compile)

    def encode(self, captions: list[str]) -> TextStates:
        """See `TextEncoder.encode`."""
        texts = [self.prefix + caption for caption in captions]
        return super().encode([text.lower() for text in texts] if self.lower else texts)

    def embed(self, hidden_states: Tensor, mask: Tensor) -> Tensor | None:
        """See `TokenStates.embed`."""
        if self.head is None:
            return None
        with self.full_precision():
            return F.normalize(self.head(hidden_states, mask), dim=-1)  # (B, P)


def _config(sizes: dict[str, Any], source: str) -> PretrainedConfig:
    """The config of a network that transformers builds; raises WeightsError for one with code of its own."""
    kind = str(sizes.get("model_type"))
    settings = {key: value for key, value in sizes.items() if key not in ("model_type", "dtype", "torch_dtype")}
    try:
        config = AutoConfig.for_model(kind, **settings)
    except ValueError as error:
        raise WeightsError(
            f"{source} is a model of type {kind!r}, which transformers does not know; models that bring code of their "
            "own are not run here"
        ) from error
    if config.is_encoder_decoder:
        raise WeightsError(f"{source} is a model of type {kind!r} with a decoder; T5 has text/flan_t5 for its encoder")
    return config


def _network(config: PretrainedConfig) -> PreTrainedModel:
    """The encoder of a config, without the head of BERT's own training."""
    network: PreTrainedModel = AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    if hasattr(network, "pooler"):
        network.register_module("pooler", None)
    return network


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the encoder's own names: a model with a head has `bert.` or `roberta.` before them."""
    prefix = next((name.partition("embeddings.")[0] for name in state if name.split(".")[1:2] == ["embeddings"]), "")
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _positions(network: PreTrainedModel) -> int:
    """The most tokens that a network has positions for; RoBERTa's family counts them from behind its padding token."""
    padding = getattr(getattr(network, "embeddings", None), "padding_idx", -1)
    return network.config.max_position_embeddings - padding - 1
