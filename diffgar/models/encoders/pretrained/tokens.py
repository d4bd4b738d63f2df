"""Captions to token ids, with a tokenizer that is checked against its text encoder."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from diffgar.models.encoders.pretrained.downloads import tokenizer_remedy
from diffgar.models.encoders.pretrained.hub import cached_model, is_hub_name, open_model
from diffgar.models.encoders.pretrained.tensor_files import WeightsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OTHER = "Set encoder_pair.tokenizer to the one that the weights came with"
PROBES = ("piano", "guitar", "drums")  # words that every vocabulary distinguishes
FILES = (  # of the tokenizers of any layout; most models have five of them
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


def load_tokenizer(
    name: str, num_rows: int, published: bool, repo: str | None = None, padding: str | None = None
) -> "PreTrainedTokenizerBase":
    """The tokenizer of a hub name or local folder, for an embedding of `num_rows` tokens.

    published: whether the weights are trained ones; then the vocabulary must fill the embedding, except for the padding
    rows that some models add. repo: the hub name of one that fits, for the message. padding: a token to pad with, for a
    tokenizer that has none and whose captions are never empty, since an end is written after them. Raises WeightsError
    for a tokenizer that is absent, another model's, or made without its files, which transformers allows: then all
    words have the same ids.
    """
    from transformers import AutoTokenizer

    remedy = tokenizer_remedy(name, repo or name)
    folder = _folder(name, remedy)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # missing and damaged files raise whatever their reader does, bare Exception among them
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"no tokenizer at {name} ({reason}). {remedy}") from error
    if padding:
        tokenizer.add_special_tokens({"pad_token": padding})
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if fault := _fault(tokenizer, num_rows, published, remedy, "" if padding is None else padding):
        raise WeightsError(f"the tokenizer at {name} is of no use here: {fault}")
    return tokenizer


def tokenize(tokenizer: "PreTrainedTokenizerBase", captions: list[str], max_tokens: int) -> tuple[Tensor, Tensor, int]:
    """Captions to ids (B, L) and mask (B, L) bool, padded to the longest, and the number of truncated captions."""
    lengths = [len(ids) for ids in tokenizer(captions, verbose=False)["input_ids"]]
    batch = tokenizer(captions, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"].bool(), sum(length > max_tokens for length in lengths)


def _folder(name: str, remedy: str) -> Path:
    """The local folder of a tokenizer's files, which are downloaded if `name` is a hub name."""
    path, bare = Path(name).expanduser(), name.rstrip("/")
    if path.is_dir():
        if advice := cached_model(path):
            raise WeightsError(f"no tokenizer at {name}. {advice}")
        return path
    if path.is_file():
        raise WeightsError(f"no tokenizer at {name}: that is a file; set encoder_pair.tokenizer to its folder")
    if not is_hub_name(bare):
        raise WeightsError(f"no tokenizer at {name}: there is no such folder. {remedy}")
    model = open_model(bare)
    found = [file for file in map(model.fetch, FILES) if file]
    if not found:
        why = model.failure or f"the hub's {bare} has no file of a tokenizer"
        raise WeightsError(f"no tokenizer at {name}: no folder here, and {why}. {remedy}")
    return found[0].parent


def _fault(
    tokenizer: "PreTrainedTokenizerBase", num_rows: int, published: bool, remedy: str, shortest: str
) -> str | None:
    """Why a tokenizer does not fit an embedding of `num_rows` tokens; None if it fits. shortest: what captions hold."""
    ids = [tuple(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in PROBES]
    size = max(tokenizer.get_vocab().values(), default=-1) + 1
    if len(set(ids)) < len(PROBES) or any(set(word) <= {tokenizer.unk_token_id} for word in ids):
        return f"it does not know the words {', '.join(PROBES)} apart; its files are missing or empty. {remedy}"
    if tokenizer.pad_token_id is None or not tokenizer(shortest)["input_ids"]:
        return f"it has no padding token, or gives the empty caption no token. {OTHER}"
    if size > num_rows or (published and size <= num_rows - 128):
        return f"it has {size} tokens, the text encoder {num_rows}. {OTHER}"
    return None
