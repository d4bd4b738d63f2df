"""Captions to token ids, with a tokenizer that was checked against its text encoder."""

from torch import Tensor

from diffgar.models.encoders.weights import WeightsError

PROBES = ("piano", "guitar", "drums")  # words that any vocabulary tells apart


def load_tokenizer(name: str, num_rows: int, published: bool):
    """The tokenizer of a hub name or local folder, for an embedding of `num_rows` tokens.

    published: the weights are trained ones, whose vocabulary must fill the embedding but for the padding rows that some
    add. Raises WeightsError if it is absent, another model's, or one that was built from no files: that is legal, and
    gives every word the same ids.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"no tokenizer at {name} ({str(error).splitlines()[0]}). Download it: hf download {name} --include "
            "'*token*' 'vocab*' 'merges*' 'spiece*' config.json --local-dir FOLDER, then set tokenizer to that folder"
        ) from error
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    fault = _fault(tokenizer, num_rows, published)
    if fault:
        raise WeightsError(f"the tokenizer at {name} is of no use here: {fault}. Name the one the weights came with")
    return tokenizer


def tokenize(tokenizer, captions: list[str], max_tokens: int) -> tuple[Tensor, Tensor, int]:
    """Captions to ids (B, L) and mask (B, L) bool, padded to the longest, and how many had to be cut."""
    lengths = [len(ids) for ids in tokenizer(captions, verbose=False)["input_ids"]]
    batch = tokenizer(captions, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"].bool(), sum(length > max_tokens for length in lengths)


def _fault(tokenizer, num_rows: int, published: bool) -> str | None:
    ids = [tuple(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in PROBES]
    size = max(tokenizer.get_vocab().values(), default=-1) + 1
    if len(set(ids)) < len(PROBES) or any(set(word) <= {tokenizer.unk_token_id} for word in ids):
        return f"it does not know the words {', '.join(PROBES)} apart; its files are missing or empty"
    if tokenizer.pad_token_id is None or not tokenizer("")["input_ids"]:
        return "it has no padding token, or gives the empty caption no token"
    if size > num_rows or (published and size <= num_rows - 128):
        return f"it has {size} tokens, the text encoder {num_rows}"
    return None
