"""From noise to latents: sampling as a plain loop over a solver.

A solver is a fresh diffusers scheduler. Latents are normalised here, as the backbone was trained on them.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from diffgar.errors import InputError
from diffgar.models.diffusion.formulas import Denoise, NoiseScheduler
from diffgar.models.diffusion.guidance import Denoiser, Guidance
from diffgar.models.diffusion.objective import check_schedule
from diffgar.values import whole


class Solver(NoiseScheduler, Protocol):
    """The part of a diffusers scheduler that sampling uses. timesteps: those it steps through, in descending order."""

    timesteps: Tensor

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Set the timesteps of so many steps."""

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor, **options: Any) -> Any:
        """One step from `sample` at a timestep to the next; the result's `prev_sample` are the cleaner latents."""


def draw_noise(generators: Sequence[torch.Generator], num_frames: int, dim: int, device: torch.device | str) -> Tensor:
    """Unit noise (B, T, D), one sample per generator, so that a sample is the same in any batch."""
    noise = [torch.randn(num_frames, dim, generator=g, device=g.device) for g in generators]
    return torch.stack([sample.to(device) for sample in noise])


def sample(
    denoise: Denoise,
    solver: Solver,
    latents: Tensor,
    timesteps: Tensor,
    generators: Sequence[torch.Generator] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """The clean latents (B, T, D) that a solver reaches from noisy ones at timesteps[0] through all `timesteps` (S,).

    solver: a diffusers scheduler whose `set_timesteps` was called. generators: one per sample, for solvers that add
    noise. progress: called with 1 after each step.
    """
    takes_generator = "generator" in inspect.signature(solver.step).parameters
    noisy = {"generator": list(generators)} if generators and takes_generator else {}
    for timestep in timesteps:
        latents = solver.step(denoise(latents, timestep), timestep, latents, **noisy).prev_sample
        progress(1)
    return latents


@dataclass(frozen=True)
class Sampler:
    """The settings by which queries are sampled.

    solver: makes a diffusers scheduler from the training schedule's config. num_samples: per caption, to be averaged.
    guidance_scale, interval, rescale, parallel: see `Guidance`. batch_size: samples per pass, which changes memory and
    nothing else.
    """

    solver: Callable[..., Solver]
    num_steps: int = 50
    num_samples: int = 1
    guidance_scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0
    parallel: float = 1.0
    batch_size: int = 256

    def __post_init__(self) -> None:
        if not callable(self.solver):
            raise InputError(
                f"solver is {self.solver!r}, which makes no diffusers scheduler; choose sampler=ddim, ddpm, "
                "dpm_solver or unipc, or give a solver as config/sampler/ddim.yaml does"
            )
        for name in ("num_steps", "num_samples", "batch_size"):
            whole(name, getattr(self, name), 1)
        object.__setattr__(self, "interval", self.guidance.interval)

    @property
    def guidance(self) -> Guidance:
        """This sampler's settings of guidance."""
        return Guidance(self.guidance_scale, self.interval, self.rescale, self.parallel)

    def start(self, noise_scheduler: NoiseScheduler) -> Solver:
        """A fresh solver on the schedule that the model was trained with, its timesteps set and checked.

        Raises InputError for steps or a schedule with which the solver does not reach the clean latents.
        """
        solver = self.solver(noise_scheduler.config)
        check_schedule(solver)
        most = solver.config.num_train_timesteps
        if self.num_steps > most:
            raise InputError(f"num_steps {self.num_steps} is more than the {most} that were trained on; take fewer")
        solver.set_timesteps(self.num_steps)
        check_timesteps(solver)
        return solver

    def denoiser(self, *arguments: Any, **options: Any) -> Denoiser:
        """The backbone under this sampler's guidance; see `Guidance.denoiser`."""
        return self.guidance.denoiser(*arguments, **options)

    def describe(self) -> dict[str, Any]:
        """The solver's name and the settings, as the protocol of a result records them."""
        names = ("num_steps", "num_samples", "guidance_scale", "interval", "rescale", "parallel")
        maker = getattr(self.solver, "func", self.solver)  # Class.from_config, perhaps within a partial
        solver = getattr(maker, "__self__", maker).__name__
        return {"solver": solver, **{name: getattr(self, name) for name in names}, "interval": list(self.interval)}


def check_timesteps(solver: Solver) -> None:
    """Raises InputError for timesteps that start below the noise trained on, or that a solver would step past.

    DDIM and DDPM step from t to t − (1,000 // num_steps), whatever timestep comes next: with a count that does not
    divide 1,000 they miss the next level, and the last one misses the clean latents.
    """
    timesteps, count = solver.timesteps.tolist(), solver.config.num_train_timesteps
    if timesteps[0] != count - 1:
        raise InputError(
            f"the first step is at timestep {timesteps[0]}, not {count - 1}; use timestep_spacing: trailing"
        )
    if not isinstance(solver, (DDIMScheduler, DDPMScheduler)):
        return  # other solvers step through their own list of levels
    stride = count // len(timesteps)
    if any(t - stride != lower for t, lower in zip(timesteps, [*timesteps[1:], -1], strict=True)):
        raise InputError(
            f"num_steps {len(timesteps)} with timestep_spacing {solver.config.timestep_spacing!r} skips levels; "
            f"use timestep_spacing: trailing and a number of steps that divides {count}"
        )
