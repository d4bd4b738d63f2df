"""MuQ-MuLan in small: sizes and weights for the tests, and the original's numbers for them.

In an environment with muq 0.1.0 and transformers 4.57.6 (and torchaudio), this prints the numbers of the test:

    PYTHONPATH=tests python tests/original_muq.py

The weights are drawn by the tensors' names, so that they need no file. Nothing of the package is used.
"""

import json

import torch
from originals import draw
from torch import Tensor

CAPTIONS = ["calm piano", "a calm piano song with slow drums and soft bass and loud guitar"]
IDS = [[0, 5, 7, 2], [0, 4, 5, 7, 11, 12, 13, 9, 15, 16, 10, 15, 6, 8, 2]]  # of the tokenizer in layouts.py
VOCAB_SIZE = 17

LAYERS = {"tf_depth": 2, "heads": 2, "dim_head": 8, "attn_dropout": 0.0, "ff_dropout": 0.0, "ff_mult": 4}
MULAN = {  # its config.json
    "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 24, "rank_contrast": True},
    "audio_model": {"name": "OpenMuQ/MuQ-large-msd-iter", "model_dim": 32, "use_layer_idx": -1},
    "text_model": {"name": "xlm-roberta-base", "model_dim": None, "use_layer_idx": -1},
    "audio_transformer": {"dim": 20, **LAYERS},
    "text_transformer": {"dim": 16, "max_seq_len": 1024, **LAYERS},
}
MUQ = {  # MuQ's config.json
    "conv_dim": 4,
    "encoder_dim": 32,
    "encoder_depth": 2,
    "label_rate": 25,
    "hop_length": 240,
    "n_mels": 128,
    "stat": {"melspec_2048_mean": 6.768444971712967, "melspec_2048_std": 18.417922652295623},
    "w2v2_config": {
        "hidden_act": "swish",
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "conv_depthwise_kernel_size": 31,
        "position_embeddings_type": "rotary",
        "rotary_embedding_base": 10_000,
        "layer_norm_eps": 1e-5,
    },
}
ROBERTA = {  # XLM-RoBERTa's config.json
    "model_type": "xlm-roberta",
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 90,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
}


def drawn(shapes: dict[str, tuple]) -> dict[str, Tensor]:
    """Tensors of these shapes, drawn by name; the gains of the bias-free layer norms near 1."""
    gains = ("learned_gamma", "q_scale", "k_scale")
    return {
        name: draw(name, shape) + (0.7 if name.endswith(gains) else 0)
        for name, shape in shapes.items()
        if not name.endswith(("num_batches_tracked", "inv_freq", "position_ids"))
    }


def noise() -> Tensor:
    """10 s (1, 240000), loud first, then quiet."""
    window = 5 * draw("10 seconds of noise", (240_000,))
    window[120_000:] *= 0.002
    return window[None]


def original(mulan: dict, muq: dict, roberta: dict):
    """The original of these settings, made without a hub, in evaluation mode."""
    from muq import MuQ, MuQMuLan
    from transformers import Wav2Vec2ConformerConfig, XLMRobertaConfig, XLMRobertaModel

    whole = json.loads(Wav2Vec2ConformerConfig(**muq["w2v2_config"]).to_json_string(use_diff=False))
    MuQ.from_pretrained = lambda *_, **__: MuQ({**muq, "w2v2_config": whole})
    XLMRobertaModel.from_pretrained = lambda *_, **__: XLMRobertaModel(XLMRobertaConfig(**roberta))
    return MuQMuLan(mulan).eval()


@torch.no_grad()
def main() -> None:
    model = original(MULAN, MUQ, ROBERTA)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    state = drawn(shapes)
    print(len(state), "tensors; left as they are:", sorted(set(shapes) - set(state)))
    model.load_state_dict(state, strict=False)
    print("audio", model(wavs=noise())[0, :6].tolist())
    print("5 s", model(wavs=noise()[:, 90_000:210_000])[0, :6].tolist())
    for caption, ids in zip(CAPTIONS, IDS, strict=True):
        batch = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
        text = model.mulan.text
        states = text.transformer(text.proj(text.pred_pretrained_model_hidden(**batch)))
        embedding = torch.nn.functional.normalize(model.mulan.text_to_latents(states.mean(dim=1)), dim=-1)
        print(caption, "states", states[0, -1, :6].tolist(), "embedding", embedding[0, :6].tolist())


if __name__ == "__main__":
    main()
