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
from diffgar.evaluation.graded import refuse_graded
from diffgar.evaluation.queries import generated_latents
from diffgar.evaluation.report import System
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.reports.results import write_result
from diffgar.jobs import evaluation_plan, next_commands
from diffgar.jobs.building import plain
from diffgar.jobs.experiment import open_experiment
from diffgar.jobs.once import Once
from diffgar.jobs.results import make_result
from diffgar.models.diffusion.sampling import Sampler


def run(cfg: DictConfig) -> None:
    """Evaluate the fidelity of a model's latents, and say what can be typed next."""
    evaluate(cfg)
    next_commands.show(next_commands.after_fidelity(cfg))


def evaluate(cfg: DictConfig, once: Once | None = None) -> Path:
    """Evaluate one step of one model on one task, at each guidance scale; returns the path of the JSON it wrote.

    once: see `open_experiment`.
    """
    options = FidelityOptions(**plain(cfg.evaluation.fidelity))
    experiment = open_experiment(cfg, cfg.model_name, once)
    refuse_graded(experiment.task, "fidelity")
    model, tracks = experiment.generator("fidelity"), experiment.track_positions
    require_tracks(experiment.task.targets)
    seeds = plain(cfg.evaluation.seeds)
    samplers = make_samplers(experiment, plain(cfg.evaluation.guidance), len(seeds))
    evaluation_plan.show_fidelity(cfg, experiment, len(samplers))
    report = evaluate_fidelity(
        make_samples(experiment, samplers, seeds),
        [torch.from_numpy(experiment.audio.row(position)).float() for position in tracks],
        experiment.task.targets,
        caption_embeddings=experiment.caption_embeddings(experiment.caption_positions) if experiment.joint else None,
        options=options,
        centre=model.centre,
    )
    sampled = samplers.items() if model.sampled else ()
    report.extra["samplers"] = {system.label: sampler.describe() for system, sampler in sampled}
    result = make_result("fidelity", cfg, experiment, report)
    path = write_result(cfg.paths.results, result)
    if any(system.strength for system in samplers):  # a sweep of guidance
        reports.draw_guidance(path, result)
    reports.show_and_log(path, result)
    return path


def make_samplers(experiment: Experiment, scales: Sequence[float], num_seeds: int) -> dict[System, Sampler]:
    """System → sampler of one sample per caption: the model's own, or one for each guidance scale of a sweep."""
    single, name = dataclasses.replace(experiment.sampler, num_samples=1), experiment.model.row
    if not scales:
        return {System(name): single}
    if num_seeds < 2:
        raise InputError("diversity needs at least two samples per caption; use evaluation.seeds=[0,1,2]")
    return {
        System(name, strength={"guidance": float(scale)}): dataclasses.replace(single, guidance_scale=scale)
        for scale in scales
    }


def make_samples(experiment: Experiment, samplers: dict[System, Sampler], seeds: Sequence[int]) -> dict[System, Tensor]:
    """System → generated latents (S, Q, T, D), a set for each sampling seed."""
    model, captions, latents = experiment.generator("fidelity"), experiment.caption_positions, {}
    with tqdm(total=len(captions) * len(seeds) * len(samplers), desc="samples", unit="caption") as bar:
        for system, sampler in samplers.items():
            generate = partial(generated_latents, model, sampler, experiment.text, captions, progress=bar.update)
            latents[system] = torch.stack([generate(seed=seed).squeeze(1) for seed in seeds])
    return latents
