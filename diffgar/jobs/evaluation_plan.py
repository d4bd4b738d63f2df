"""The plan that an evaluation prints where it takes more than a moment: how much it generates, and what is there."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

from omegaconf import DictConfig

from diffgar.evaluation.experiment import Experiment
from diffgar.jobs import plan

LONG = 100_000  # denoising steps, of all samples together: the demo's U-Net takes about a minute for them
BEGINS_ANEW = "the same command begins anew"
Factors = Sequence[tuple[int, str]]  # (5, "sample") is 5 samples


def show_retrieval(cfg: DictConfig, experiments: Sequence[Experiment], num_checkpoints: int = 1) -> None:
    """The plan of ranking by the queries of every model, at one checkpoint or at several."""
    first, generating = experiments[0], [each for each in experiments if each.model.sampled]
    if not generating or cfg.evaluation.retrieval.direction == "audio_to_text":
        return
    sampler = generating[0].sampler
    factors = [
        (len(first.caption_positions), "caption"),
        (sampler.num_samples, "sample"),
        (len(cfg.evaluation.seeds), "seed"),
        (len(generating), "model"),
        (num_checkpoints, "checkpoint"),
    ]
    show("retrieval", cfg, first, factors, f"rank {len(first.track_positions):,} tracks for them")


def show_fidelity(cfg: DictConfig, experiment: Experiment, num_samplers: int) -> None:
    """The plan of comparing generated with real music, with one sampler or at several guidance scales."""
    captions, seeds = len(experiment.caption_positions), len(cfg.evaluation.seeds)
    factors = [(captions, "caption"), (seeds, "seed"), (num_samplers, "guidance scale")]
    show("fidelity", cfg, experiment, factors, f"compare them with {len(experiment.track_positions):,} real tracks")


def show_control(cfg: DictConfig, experiment: Experiment, num_captions: int, num_ways: int) -> None:
    """The plan of steering at most `num_captions` captions, or editing as many tracks, in `num_ways` ways."""
    samples = experiment.sampler.num_samples
    factors = [(num_captions, "caption"), (samples, "sample"), (len(cfg.evaluation.seeds), "seed"), (num_ways, "way")]
    show("control", cfg, experiment, factors, f"rank {len(experiment.track_positions):,} tracks for them")


def show(kind: str, cfg: DictConfig, experiment: Experiment, factors: Factors, then: str) -> None:
    """Print the plan of generating as many samples as the factors' product, and of what is done with them."""
    total = prod(number for number, _ in factors)
    if not experiment.model.sampled or total * experiment.sampler.num_steps < LONG:
        return
    step, folder = experiment.step, Path(cfg.paths.results) / str(cfg.model_name) / str(cfg.task.name)
    counted = " × ".join(amount(*factor) for factor in factors if factor[0] > 1)
    steps = amount(experiment.sampler.num_steps, "denoising step")
    where = "all steps" if cfg.model_step == "all" else f"step {step}"
    found = len(list(folder.glob(f"{kind}-{step}-*.json")))
    plan.show(
        f"{kind} of {cfg.model_name} at {where} on {cfg.task.name}",
        [f"{amount(found, f'{kind} result')} of step {step} in {folder}"] if found else [],
        [
            f"generate latents: {counted} = {total:,}, each in {steps}",
            f"{then}: {folder}",
        ],
        BEGINS_ANEW,
    )


def amount(number: int, what: str) -> str:
    """A number of things in words: "1 seed", "1,800 captions"."""
    return f"{number:,} {what}{'s' * (number != 1)}"
