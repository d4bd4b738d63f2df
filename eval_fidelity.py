"""Compare generated latents with the real ones of the same captions: distance, coverage, diversity, with floors.

python eval_fidelity.py                                                             # the demo
python eval_fidelity.py --task song_describer --model_name NAME --model_step 50000
"""

import dataclasses
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffgar import cli
from diffgar.evaluation import reports
from diffgar.evaluation.fidelity import FidelityOptions, evaluate_fidelity
from diffgar.evaluation.queries import generated_latents
from diffgar.evaluation.results import write_result
from diffgar.evaluation.setting import Evaluation, open_evaluation


def evaluate(cfg: DictConfig) -> Path:
    """Evaluate one step of one model on one task; returns the path of the JSON it wrote."""
    setting = open_evaluation(cfg, cfg.model_name, instantiate)
    latents = make_samples(cfg, setting)  # (S, Q, T, D)
    captions = None if setting.text.embeddings is None else setting.text.embeddings[setting.rows]
    report = evaluate_fidelity(
        {"gdr": latents},
        [torch.from_numpy(setting.audio.row(i)).float() for i in setting.track_rows],
        setting.task.targets,
        caption_embeddings=captions,
        options=FidelityOptions(**instantiate(cfg.evaluation.fidelity)),
    )
    path = write_result(cfg.paths.results, reports.make_result("fidelity", cfg, setting, report))
    reports.show(path)
    return path


def make_samples(cfg: DictConfig, setting: Evaluation) -> torch.Tensor:
    """One set of generated latents for each of the sampling seeds, (S, Q, T, D)."""
    seeds, single = cfg.evaluation.seeds, dataclasses.replace(setting.sampler, num_samples=1)
    with tqdm(total=len(setting.rows) * len(seeds), desc="samples", unit="caption") as bar:
        samples = [
            generated_latents(
                setting.model, single, setting.text, setting.rows, setting.num_frames, seed, progress=bar.update
            )
            for seed in seeds
        ]
    return torch.stack([latents.squeeze(1) for latents in samples])


@cli.main("eval_fidelity", flags=("task", "model_name", "model_step"))
def main(cfg: DictConfig) -> None:
    evaluate(cfg)


if __name__ == "__main__":
    main()
