"""What the tests of the encoders share: published layouts, damaged checkpoints, and tokenizers of local files."""

import ast
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = ["a", "calm", "loud", "piano", "guitar", "drums", "bass", "song", "with", "slow", "fast", "and", "soft"]
DAMAGES = {"missing": "is missing", "renamed": "is missing", "reshaped": "has shape"}


def published(layout: str) -> dict[str, tuple]:
    """Names and shapes of a published layout."""
    lines = (Path(__file__).parent / "keys" / f"{layout}.txt").read_text().splitlines()
    return {name: ast.literal_eval(shape) for name, shape in (line.split("\t") for line in lines)}


def shapes(*networks) -> dict[str, tuple]:
    return {name: tuple(tensor.shape) for network in networks for name, tensor in network.state_dict().items()}


def damaged(state: dict, name: str, damage: str) -> dict:
    """A copy of a state dict in which one tensor is not what it should be."""
    state = dict(state)
    tensor = state.pop(name)
    if damage == "renamed":
        state[f"{name}_"] = tensor
    elif damage == "reshaped":
        state[name] = torch.stack([tensor, tensor])
    return state


def randomise(network, seed: int = 0):
    """The same weights every time, biases, gains and statistics not the neutral ones, which would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim <= 1:
            noise = torch.randn(tensor.shape, generator=generator).tanh()
            tensor.copy_(tensor * (1 + 0.3 * noise) + 0.1 * noise)  # a variance of 1 stays positive
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5
    return network.eval()


def word_tokenizer(folder: Path, kind: str) -> int:
    """Save a tokenizer of a few words as `kind` ("roberta", "clip" or "t5") frames them; returns its size."""
    special = {"roberta": ["<s>", "<pad>", "</s>", "<unk>"], "clip": ["<unk>"], "t5": ["<pad>", "</s>", "<unk>"]}[kind]
    last = ["<s>", "</s>"] if kind == "clip" else []  # CLIP's end token has the largest id
    tokens = {token: row for row, token in enumerate([*special, *WORDS, *last])}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    frame = "$A </s>" if kind == "t5" else "<s> $A </s>"
    marks = [(token, tokens[token]) for token in ("<s>", "</s>") if token in tokens]
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=marks)
    pad = "</s>" if kind == "clip" else "<pad>"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token=pad).save_pretrained(folder)
    return len(tokens)


def tones(sample_rate: int, seconds: float, number: int = 3) -> torch.Tensor:
    """Windows (N, W) of harmonic tones, each louder than the one before, with a little noise."""
    time = torch.arange(int(sample_rate * seconds)) / sample_rate
    noise = torch.randn(number, len(time), generator=torch.Generator().manual_seed(0))
    notes = [sum(torch.sin(6.2832 * 110 * 2**i * k * time) / k for k in (1, 2, 3)) for i in range(number)]
    return torch.stack([0.1 * (i + 1) * note for i, note in enumerate(notes)]) + 0.01 * noise
