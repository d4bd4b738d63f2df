"""What keeps a generated query below its teacher: how well the mean latent of a caption's music can rank at all.

python -m benchmarks.conditional_mean [model_name=demo paths.data=… …]

Linear least squares, on the train split, from the captions' own embeddings (all that the teacher knows of them) to
their tracks' mean latents: the conditional mean that a generative model's queries average to, without a generative
model's errors. If it ranks below the teacher, so must they.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from diffgar.dataloading.datamodule import captioned_tracks
from diffgar.evaluation.queries import index_of
from diffgar.evaluation.retrieval import evaluate_retrieval
from diffgar.evaluation.setting import open_evaluation

CONFIG = Path(__file__).resolve().parents[1] / "config"
RIDGES = (0.1, 1, 10, 100)  # all are told, none is chosen


def main() -> None:
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        cfg = compose("eval_retrieval", sys.argv[1:])
    setting = open_evaluation(cfg, cfg.model_name, instantiate)
    tracks, captions = captioned_tracks(setting.audio, setting.text, "train")
    means = setting.audio.means(tracks)
    means = means.repeat_interleave(torch.tensor([len(own) for own in captions]), dim=0)  # (C, D), one a caption
    known, asked = (with_one(setting.text.embeddings[rows]) for rows in (np.concatenate(captions), setting.rows))
    teacher = setting.text.embeddings[setting.rows]
    rows = {"teacher": teacher} | {f"conditional mean, ridge {r:g}": asked @ ridge(known, means, r) for r in RIDGES}
    table = evaluate_retrieval(
        {name: q[None] for name, q in rows.items()}, index_of(setting.audio, setting.task), setting.task
    )
    print(json.dumps({name: row["R@10"] for name, row in table["rows"].items()}, indent=1))


def with_one(embeddings: Tensor) -> Tensor:
    return torch.cat([embeddings, torch.ones(len(embeddings), 1)], dim=1)


def ridge(inputs: Tensor, outputs: Tensor, strength: float) -> Tensor:
    """The weights of a ridge regression (Hoerl & Kennard 1970)."""
    gram = inputs.T @ inputs + strength * torch.eye(inputs.shape[1])
    return torch.linalg.solve(gram, inputs.T @ outputs)


if __name__ == "__main__":
    main()
