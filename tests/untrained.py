"""What the tests of published models share: training folders whose models have random weights, and audio to search."""

import json
from pathlib import Path

import pandas as pd
import torch
from audio_files import music, write
from omegaconf import OmegaConf

from diffgar.extraction.batches import Options
from diffgar.extraction.stores import audio_card
from diffgar.jobs.building import build, composed

LEAVES = {
    "diffusion": "unet/train_ldm_sample_pred_small",
    "contrastive": "baselines/contrastive",
    "regression": "baselines/regression",
    "student": "student/train_student_sample_pred_small_1_call",
    "tuned": "tuned/train_tuned_sample_pred_small",
}
SMALL = ["backbone.channels=[8,8]", "backbone.num_heads=2", "backbone.head_dim=4", "backbone.features=8"]
CAPTIONS = [
    "Slow music with jazz drums.",
    "A fast song with jazz drums.",
    "A piece with rock drums.",
    "A piece in a cave.",
    "Rock drums.",
]


def write_training(folder: Path, kind: str = "diffusion", *overrides: str) -> Path:
    """A training folder of the demo's pair at step 5, under a path, and with a store of training captions.

    The weights are random, and large enough that what the model makes depends on all that it is given.
    """
    leaf = f"train_ldm/model/encoder_pair/demo/{LEAVES[kind]}"
    roots = [f"paths.{name}={folder.parent / name}" for name in ("data", "results", "checkpoints")]
    config = composed(leaf, [*SMALL, *roots, f"model_name={folder.name}", *overrides])
    audio, text = (build(config.encoder_pair[f"{which}_encoder"]) for which in ("audio", "text"))
    null = text.encode([""]).hidden_states[0]
    module = build(
        config.module, latent_mean=torch.zeros(128), latent_std=torch.full((128,), 0.1), null_text=null, num_frames=4
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder.mkdir(parents=True)
    OmegaConf.save(config, folder / "config.yaml")
    torch.save({"state_dict": module.state_dict()}, folder / "step=5.ckpt")
    encodings = {"audio": audio_card("demo", audio, config.encoder_pair.hop_seconds, Options()).encoding()}
    (folder / "latents.json").write_text(json.dumps(encodings | {"text": {"kind": "text"}}))
    store = folder.parent / "data/latents/demo" / config.encoder_pair.text_name
    store.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"caption": CAPTIONS, "split": "train"}).to_parquet(store / "rows.parquet")
    return folder


def write_audio(folder: Path, count: int = 6) -> Path:
    """A folder of short audio files, no two alike."""
    folder.mkdir()
    for number in range(count):
        write(folder / f"{number}.wav", music(4 + number % 3, 16000, seed=number, peak=0.1 + 0.1 * number), 16000)
    return folder
