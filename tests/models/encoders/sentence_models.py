"""Small models with random weights in the layout that sentence-transformers saves.

Run in an environment with sentence-transformers, this file prints what that package makes of `CAPTIONS`:
python tests/models/encoders/sentence_models.py
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

CAPTIONS = ["a calm piano song", "loud drums and bass", ""]
TOKENS = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "a", "calm", "song", "piano", "guitar", "drums", "loud", "and", "bass"]
WIDTH, DENSE_WIDTH, POSITIONS = 32, 12, 24
SIZES = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
MODELS = {  # by name: the network, the pooling's settings, and whether a Dense follows
    "mean": ("bert", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, False),
    "first": ("roberta", {"pooling_mode": "cls"}, False),
    "dense": ("mpnet", {"pooling_mode_mean_tokens": True}, True),
}
NAME = "sentence_transformers.models."


def save_model(folder: Path, name: str) -> Path:
    """Write one of `MODELS` to a folder, with its tokenizer; returns the folder."""
    kind, pooling, has_dense = MODELS[name]
    save_tokenizer(folder)
    sizes = {**SIZES, "hidden_size": WIDTH, "vocab_size": len(TOKENS), "max_position_embeddings": POSITIONS}
    config = AutoConfig.for_model(kind, **sizes, pad_token_id=1, bos_token_id=0, eos_token_id=2)
    network = AutoModel.from_config(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data + 0.1 * noise if parameter.ndim == 1 else 0.4 * noise
    network.save_pretrained(folder)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), *[("Dense", "2_Dense")] * has_dense, ("Normalize", "3")]
    write_modules(folder, *modules)
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": WIDTH, **pooling})
    if has_dense:
        settings = {"in_features": WIDTH, "out_features": DENSE_WIDTH, "bias": True}
        write(folder / "2_Dense/config.json", settings | {"activation_function": "torch.nn.modules.activation.Tanh"})
        weight, bias = (0.3 * torch.randn(DENSE_WIDTH, *shape, generator=generator) for shape in ((WIDTH,), ()))
        save_file({"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense/model.safetensors")
    return folder


def write_modules(folder: Path, *modules: tuple[str, str]) -> None:
    """Write the modules.json of these kinds and folders."""
    listed = [{"name": str(i), "type": NAME + kind, "path": path} for i, (kind, path) in enumerate(modules)]
    write(folder / "modules.json", listed)


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of few words, between the marks of BERT."""
    tokenizer = Tokenizer(models.WordLevel({token: row for row, token in enumerate(TOKENS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("[CLS]", 0), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)


def write(path: Path, content: object) -> None:
    """Write JSON, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    import tempfile

    from sentence_transformers import SentenceTransformer

    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            vectors = SentenceTransformer(str(save_model(Path(folder), name)), device="cpu").encode(CAPTIONS)
            print(name, [[round(float(x), 6) for x in vector[:4]] for vector in vectors])
