"""Prints what msclap 1.3.4 makes of drawn weights, and the names and shapes of its layout.

In an environment with msclap: PYTHONPATH=tests python tests/models/encoders/msclap_original.py [KEYS]
"""

import sys
from pathlib import Path

import torch
from originals import draw
from transformers import GPT2Config, GPT2Model

SMALL = {"vocab_size": 20, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 77}
IDS = [[5, 9, 3, 19, 0, 0], [7, 0, 4, 8, 6, 19], [6, 19, 0, 0, 0, 0]]  # 19 ends, 0 pads and is the exclamation mark
LENGTHS = [4, 6, 2]
CONSTANT = (
    *("melW", "conv_real.weight", "conv_imag.weight", "relative_position_index", "attn_mask"),
    "num_batches_tracked",
)


def drawn_by_name(shapes: dict[str, tuple]) -> dict[str, torch.Tensor]:
    """Weights that their names alone decide, all but the constants."""
    return {name: draw(name, shape) for name, shape in shapes.items() if not name.endswith(CONSTANT)}


if __name__ == "__main__":
    from msclap.models import clap

    clap.AutoModel.from_pretrained = lambda name: GPT2Model(GPT2Config(**SMALL))
    model = clap.CLAP("HTSAT", 44100, 1024, 320, 64, 50, 8000, 527, 768, "gpt2", SMALL["n_embd"], 1024).eval()
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    model.load_state_dict(drawn_by_name(shapes), strict=False)
    window = 5 * draw("7 seconds of noise", (44_100 * 7,))
    window[len(window) // 2 :] *= 0.002
    ids = torch.tensor(IDS)
    mask = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    with torch.no_grad():
        audio, _ = model.audio_encoder(window[None])
        text = model.caption_encoder({"input_ids": ids, "attention_mask": mask.long()})
    for name, vectors in {"audio": audio, "text": text}.items():
        unit = torch.nn.functional.normalize(vectors, dim=-1)
        print(name, [[round(float(x), 7) for x in vector[:6]] for vector in unit])
    for path in sys.argv[1:]:
        Path(path).write_text("".join(f"{name}\t{shape}\n" for name, shape in shapes.items()))
        torch.save((audio, text), f"{path}.pt")
