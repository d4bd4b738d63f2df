"""The job of eval_fidelity.py: generated latents compared with the real ones of the same captions."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.fidelity import FidelityOptions, evaluate_fidelity, require_tracks
from diffgar.evaluation.queries import generated_latents
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import write_result
from diffgar.jobs.building import plain
from diffgar.jobs.experiment import open_experiment
from diffgar.jobs.results import make_result
from diffgar.models.diffusion.sampling import Sampler


def evaluate(cfg: DictConfig) -> Path:
    """Evaluate one step of one model on one task, at each guidance scale; returns the path of the JSON it wrote."""
    options = FidelityOptions(**plain(cfg.evaluation.fidelity))
    experiment = open_experiment(cfg, cfg.model_name).require_sampling("fidelity")
    require_tracks(experiment.task.targets)
    seeds = plain(cfg.evaluation.seeds)
    samplers = make_samplers(experiment, plain(cfg.evaluation.guidance), len(seeds))
    report = evaluate_fidelity(
        make_samples(experiment, samplers, seeds),
        [torch.from_numpy(experiment.audio.row(i)).float() for i in experiment.track_rows],
        experiment.task.targets,
        caption_embeddings=experiment.text.embeddings[experiment.rows] if experiment.joint else None,
        options=options,
        centre=experiment.model.centre,
    )
    sampled = samplers.items() if experiment.model.sampled else ()
    extra = {"samplers": {name: sampler.describe() for name, sampler in sampled}}
    result = make_result("fidelity", cfg, experiment, report, extra)
    path = write_result(cfg.paths.results, result)
    if samplers.keys() != {experiment.model.row}:  # a sweep of guidance
        reports.draw_guidance(path, result)
    reports.publish(path, result)
    return path


def make_samplers(experiment: Experiment, scales: Sequence[float], num_seeds: int) -> dict[str, Sampler]:
    """Row → sampler of one sample per caption: the model's own, or one for each guidance scale of a sweep."""
    single, name = dataclasses.replace(experiment.sampler, num_samples=1), experiment.model.row
    if scales and num_seeds < 2:
        raise InputError("diversity needs at least two samples per caption; use evaluation.seeds=[0,1,2]")
    return {f"{name} {w:g}": dataclasses.replace(single, guidance_scale=w) for w in scales} or {name: single}


def make_samples(experiment: Experiment, samplers: dict[str, Sampler], seeds: Sequence[int]) -> dict[str, Tensor]:
    """For each row of the table one set of generated latents for each of the sampling seeds, (S, Q, T, D)."""
    rows, model = {}, experiment.model
    with tqdm(total=len(experiment.rows) * len(seeds) * len(samplers), desc="samples", unit="caption") as bar:
        for name, sampler in samplers.items():
            draw = partial(generated_latents, model, sampler, experiment.text, experiment.rows, model.num_frames)
            rows[name] = torch.stack([draw(seed, progress=bar.update).squeeze(1) for seed in seeds])
    return rows
