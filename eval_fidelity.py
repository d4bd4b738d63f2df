"""Compare generated latents with the real ones of the same captions: distance, coverage, diversity, with floors.

python eval_fidelity.py                                                             # the demo
python eval_fidelity.py --task song_describer --model_name NAME --model_step 50000
python eval_fidelity.py evaluation.guidance=[1,2,3,5]                               # quality against diversity
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
import dataclasses
from functools import partial
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffgar import cli
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Evaluation, open_evaluation
from diffgar.evaluation.fidelity import FidelityOptions, evaluate_fidelity, require_tracks
from diffgar.evaluation.queries import generated_latents
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import write_result
from diffgar.models.diffusion.sampling import Sampler


def evaluate(cfg: DictConfig) -> Path:
    """Evaluate one step of one model on one task, at each guidance scale; returns the path of the JSON it wrote."""
    options = FidelityOptions(**instantiate(cfg.evaluation.fidelity))
    setting = open_evaluation(cfg, cfg.model_name, instantiate).require_sampling("fidelity")
    require_tracks(setting.task.targets)
    samplers = make_samplers(cfg, setting)
    report = evaluate_fidelity(
        make_samples(cfg, setting, samplers),
        [torch.from_numpy(setting.audio.row(i)).float() for i in setting.track_rows],
        setting.task.targets,
        caption_embeddings=setting.text.embeddings[setting.rows] if setting.joint else None,
        options=options,
        centre=setting.model.centre,
    )
    sampled = samplers.items() if setting.model.sampled else ()
    extra = {"samplers": {name: sampler.describe() for name, sampler in sampled}}
    path = write_result(cfg.paths.results, reports.make_result("fidelity", cfg, setting, report, extra))
    if samplers.keys() != {setting.model.row}:  # a sweep of guidance
        reports.draw_guidance(path)
    reports.publish(path)
    return path


def make_samplers(cfg: DictConfig, setting: Evaluation) -> dict[str, Sampler]:
    """Row → sampler of one sample per caption: the model's own, or one for each guidance scale of a sweep."""
    single, name = dataclasses.replace(setting.sampler, num_samples=1), setting.model.row
    scales = cfg.evaluation.guidance
    if scales and len(cfg.evaluation.seeds) < 2:
        raise InputError("diversity needs at least two samples per caption; use evaluation.seeds=[0,1,2]")
    return {f"{name} {w:g}": dataclasses.replace(single, guidance_scale=w) for w in scales} or {name: single}


def make_samples(cfg: DictConfig, setting: Evaluation, samplers: dict[str, Sampler]) -> dict[str, torch.Tensor]:
    """For each row of the table one set of generated latents for each of the sampling seeds, (S, Q, T, D)."""
    rows, seeds = {}, cfg.evaluation.seeds
    with tqdm(total=len(setting.rows) * len(seeds) * len(samplers), desc="samples", unit="caption") as bar:
        for name, sampler in samplers.items():
            draw = partial(
                generated_latents, setting.model, sampler, setting.text, setting.rows, setting.model.num_frames
            )
            rows[name] = torch.stack([draw(seed, progress=bar.update).squeeze(1) for seed in seeds])
    return rows


@cli.main("eval_fidelity", flags=("task", "model_name", "model_step"))
def main(cfg: DictConfig) -> None:
    evaluate(cfg)


if __name__ == "__main__":
    main()
