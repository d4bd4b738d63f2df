"""From noise to latents: sampling as a plain loop over a solver.

A solver is a fresh diffusers scheduler. Everything here is in the normalised space the backbone was trained in.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from diffgar.errors import InputError
from diffgar.models.diffusion.formulas import NoiseScheduler
from diffgar.models.diffusion.guidance import Denoiser, Guidance
from diffgar.models.diffusion.objective import check_schedule
from diffgar.values import whole


class Solver(NoiseScheduler, Protocol):
    """What is used of a diffusers scheduler as a solver. timesteps: those it steps through, falling."""

    timesteps: Tensor

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Choose the timesteps of so many steps."""

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor, **options: Any) -> Any:
        """One step down from `sample` at a timestep; the result has it as `prev_sample`."""


def draw_noise(generators: Sequence[torch.Generator], num_frames: int, dim: int, device) -> Tensor:
    """Unit noise (B, T, D), a sample from each generator, so that a sample is the same in any batch."""
    noise = [torch.randn(num_frames, dim, generator=g, device=g.device) for g in generators]
    return torch.stack([sample.to(device) for sample in noise])


def sample(
    denoise: Callable[[Tensor, Tensor], Tensor],
    solver: Solver,
    latents: Tensor,
    timesteps: Sequence[int] | Tensor,
    generators: Sequence[torch.Generator] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Run a solver from noisy `latents` (B, T, D) at timesteps[0] through all `timesteps` to clean ones.

    solver: a diffusers scheduler whose `set_timesteps` was called. generators: one a sample, for solvers that add
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
    """How queries are sampled; `describe` is what a result's protocol says of it.

    solver: makes a diffusers scheduler of the training schedule's config. num_samples: of a caption, averaged.
    guidance_scale, interval, rescale, parallel: see `Guidance`. batch_size: samples in one pass, which changes nothing
    but memory.
    """

    solver: Callable[..., Solver]
    num_steps: int = 50
    num_samples: int = 1
    guidance_scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0
    parallel: float = 1.0
    batch_size: int = 256

    def __post_init__(self):
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
        """How strongly a caption is followed, by this sampler's settings."""
        return Guidance(self.guidance_scale, self.interval, self.rescale, self.parallel)

    def start(self, noise_scheduler: NoiseScheduler) -> Solver:
        """A fresh solver on the schedule that the model was trained with, its timesteps set and checked."""
        solver = self.solver(noise_scheduler.config)
        check_schedule(solver)
        most = solver.config.num_train_timesteps
        if self.num_steps > most:
            raise InputError(f"num_steps {self.num_steps} is more than the {most} that were trained on; take fewer")
        solver.set_timesteps(self.num_steps)
        check_timesteps(solver)
        return solver

    def denoiser(self, *arguments, **options) -> Denoiser:
        """The backbone under this sampler's guidance; see `Guidance.denoiser`."""
        return self.guidance.denoiser(*arguments, **options)

    def describe(self) -> dict:
        """What a result's protocol says of this sampler: the solver's name, and its settings."""
        names = ("num_steps", "num_samples", "guidance_scale", "interval", "rescale", "parallel")
        maker = getattr(self.solver, "func", self.solver)  # Class.from_config, perhaps within a partial
        solver = getattr(maker, "__self__", maker).__name__
        return {"solver": solver, **{name: getattr(self, name) for name in names}, "interval": list(self.interval)}


def check_timesteps(solver: Solver) -> None:
    """Refuse steps that start below the noise trained on, or that do not meet.

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
