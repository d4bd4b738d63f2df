"""What the tests of the encoders share: published layouts, damaged checkpoints, and tokenizers of local files."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from diffgar.models.encoders.mule import FIXED
from diffgar.models.encoders.networks.mule import Mule
from diffgar.models.encoders.networks.mulooc import Mulooc

WORDS = ["a", "calm", "loud", "piano", "guitar", "drums", "bass", "song", "with", "slow", "fast", "and", "soft"]
MULE_CONFIG = {  # a small MULE's config.json
    "slow_stem_channels": [4, 4, 4, 8],
    "fast_stem_channels": [2, 2, 2, 4],
    "slow_stage_out": [16, 16, 16, 16],
    "fast_stage_out": [8, 8, 8, 8],
    "fusion_input_channels": [4, 4, 4, 4],
    "fusion_output_channels": [8, 8, 8, 8],
    "slow_group_size": 8,
    "fast_group_size": 4,
}
MULE = {name: size for name, size in MULE_CONFIG.items() if "group" not in name} | {"group_sizes": (8, 4)}
MULOOC = {
    "slow_stem": (4, 4, 4, 8),
    "fast_stem": (2, 2, 2, 4),
    "slow": (16,) * 4,
    "fast": (8,) * 4,
    "group_sizes": (8, 4),
}
MUSCALL = {"channels": 4, "blocks": (1, 2, 1, 1), "hidden_size": 16, "projection_dim": 24}
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


def word_tokenizer(folder: Path, kind: str, words: Sequence[str] = WORDS) -> int:
    """Save a tokenizer of a few words as `kind` ("roberta", "clip" or "t5") frames them; returns its size."""
    special = {"roberta": ["<s>", "<pad>", "</s>", "<unk>"], "clip": ["<unk>"], "t5": ["<pad>", "</s>", "<unk>"]}[kind]
    last = ["<s>", "</s>"] if kind == "clip" else []  # CLIP's end token has the largest id
    tokens = {token: row for row, token in enumerate([*special, *words, *last])}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    frame = "$A </s>" if kind == "t5" else "<s> $A </s>"
    marks = [(token, tokens[token]) for token in ("<s>", "</s>") if token in tokens]
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=marks)
    pad = "</s>" if kind == "clip" else "<pad>"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token=pad).save_pretrained(folder)
    return len(tokens)


def clap_sizes(vocab_size: int) -> dict:
    """Those of a CLAP of few parameters, for `ClapConfig`."""
    text = {"vocab_size": vocab_size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"intermediate_size": 64, "max_position_embeddings": 90, "layer_norm_eps": 1e-5}
    audio = {"patch_embeds_hidden_size": 16, "hidden_size": 128, "depths": [1, 1, 2, 1]}
    audio |= {"num_attention_heads": [2, 2, 4, 4]}
    return {"text_config": text, "audio_config": audio, "projection_dim": 24}


def tiny_t5(folder: Path) -> Path:
    """Save a whole T5 of few parameters, decoder included, with its tokenizer."""
    vocab_size = word_tokenizer(folder, "t5")
    sizes = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}
    torch.manual_seed(0)
    T5ForConditionalGeneration(T5Config(vocab_size=vocab_size, decoder_start_token_id=0, **sizes)).save_pretrained(
        folder
    )
    return folder


def tones(sample_rate: int, seconds: float, number: int = 3) -> torch.Tensor:
    """Windows (N, W) of harmonic tones, each louder than the one before, with a little noise."""
    time = torch.arange(int(sample_rate * seconds)) / sample_rate
    noise = torch.randn(number, len(time), generator=torch.Generator().manual_seed(0))
    notes = [sum(torch.sin(6.2832 * 110 * 2**i * k * time) / k for k in (1, 2, 3)) for i in range(number)]
    return torch.stack([0.1 * (i + 1) * note for i, note in enumerate(notes)]) + 0.01 * noise


def save_mule(folder, change=lambda state: state, **config) -> str:
    """A random small MULE as the published conversion is laid out."""
    state = randomise(Mule(**MULE)).state_dict()
    state["frontend.stft.fwd_real"], state["frontend.stft.fwd_imag"] = torch.zeros(2, 1025, 1, 8)
    save_file(change(state), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**FIXED, **MULE_CONFIG, **config}))
    return str(folder)


def save_mulooc(path, change=lambda state: state) -> str:
    """A random small MuLOOC as Lightning saves it."""
    state = randomise(Mulooc(heads=[(12, 6), (10, 5)], **MULOOC)).state_dict()
    torch.save({"state_dict": change(state), "hyper_parameters": {}, "epoch": 1}, path)
    return str(path)
