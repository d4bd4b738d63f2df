"""How well does a mean of fitting music rank, beside the teacher? Why a generated query may stay below it.

python -m benchmarks.conditional_mean [model_name=demo paths.data=… …]

The best linear estimate, by ridge regression on the train split, of a track's mean latent from its caption's own
embedding: all that the teacher knows of the caption, and none of a generative model's errors. A hint, not a bound:
another estimate, of the token states, may rank better.
"""

import json
import sys

import numpy as np
import torch
from torch import Tensor

from diffgar.dataloading.batches import captioned_tracks
from diffgar.evaluation.report import TEACHER, System
from diffgar.evaluation.reports.json_form import summary_as_json
from diffgar.evaluation.retrieval import evaluate_retrieval
from diffgar.evaluation.track_means import index_of
from diffgar.jobs.building import composed
from diffgar.jobs.experiment import open_experiment

RIDGES = (0.1, 1, 10, 100)  # all are reported


def main() -> None:
    """Rank the teacher's queries and the estimates, and print R@10 of each."""
    cfg = composed("eval_retrieval", sys.argv[1:])
    experiment = open_experiment(cfg, cfg.model_name)
    asked = experiment.caption_embeddings(experiment.caption_positions)
    tracks, captions = captioned_tracks(experiment.audio, experiment.text, "train")
    means = experiment.audio.means(tracks)
    means = means.repeat_interleave(torch.tensor([len(own) for own in captions]), dim=0)  # (C, D), one per caption
    known = experiment.caption_embeddings(np.concatenate(captions))
    queries = {TEACHER: asked[None]}
    for ridge in RIDGES:
        queries[System(f"linear estimate, ridge {ridge:g}")] = estimate(known, means, asked, ridge)[None]
    index = index_of(experiment.audio, experiment.task)
    report = evaluate_retrieval(queries, index, experiment.task)
    print(json.dumps({s.label: summary_as_json(metrics["R@10"]) for s, metrics in report.rows.items()}, indent=1))


def estimate(known: Tensor, means: Tensor, asked: Tensor, strength: float) -> Tensor:
    """Ridge regression (Hoerl & Kennard 1970) of means (C, D) on embeddings (C, P), for those asked (Q, P): (Q, D)."""
    known, means, asked = known.double(), means.double(), asked.double()
    centre, mean = known.mean(dim=0), means.mean(dim=0)
    gram = (known - centre).T @ (known - centre) + strength * torch.eye(known.shape[1], dtype=known.dtype)
    weights = torch.linalg.solve(gram, (known - centre).T @ (means - mean))
    return ((asked - centre) @ weights + mean).float()


if __name__ == "__main__":
    main()
