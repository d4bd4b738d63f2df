"""The few-step student: a trained model and its guidance, distilled into one to four network calls per query.

Guided distillation (Meng et al. 2023, arXiv 2210.03142) by progressive distillation (Salimans & Ho 2022, arXiv
2202.00512): one DDIM step of the student learns to land where several guided steps of its teacher land. Notation of
`formulas.py` and `ddim.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diffgar.batch import Batch
from diffgar.errors import InputError
from diffgar.models.diffusion.ddim import Level, ddim_steps, level_at
from diffgar.models.diffusion.formulas import NoiseScheduler
from diffgar.models.diffusion.guidance import Guidance
from diffgar.models.diffusion.loss_parts import Draws, Noisy
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.ldm import LatentDiffusion
from diffgar.text_states import TextStates
from diffgar.values import whole


def landing_target(noisy_latents: Tensor, landed: Tensor, level: Level, below: Level) -> Tensor:
    """The clean latents x̃ with which one DDIM step from `level` to `below` lands on `landed`; all are (B, T, D).

    Salimans & Ho 2022 (arXiv 2202.00512, algorithm 2): the equation of the step, solved for the clean latents.
    """
    (signal, sigma), (signal_below, sigma_below) = level, below
    ratio = sigma_below / sigma
    return (landed - ratio * noisy_latents) / (signal_below - ratio * signal)


@dataclass(frozen=True, eq=False)
class Teacher:
    """The model that a student learns from.

    It is no submodule of the student: the student's state dict leaves it out, and copies of the student, such as the
    EMA's, share it.
    """

    model: LatentDiffusion

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        return self


class Student(LatentDiffusion):
    """A few-step student: `num_calls` DDIM steps without guidance reproduce `teacher_steps` guided ones of its teacher.

    guidance_scale, interval, rescale, parallel: the teacher's `Guidance`. teacher: name and step of the trained model,
    which the training script opens and hands to `learn_from`; a trained student no longer needs it. parts: as for
    `LatentDiffusion`.
    The squared error is that of the clean latents, whatever the backbone predicts, and all noise levels weigh the same.
    """

    row = "student"
    on_clean = True

    def __init__(
        self,
        num_calls: int = 2,
        teacher_steps: int = 8,
        guidance_scale: float = 3.0,
        interval: tuple[float, float] = (0.0, 1.0),
        rescale: float = 0.0,
        parallel: float = 1.0,
        teacher: Mapping | None = None,
        **parts: Any,
    ):
        super().__init__(**parts)
        self.objective = self.objective.unweighted()
        whole("num_calls", num_calls, 1)
        whole("teacher_steps", teacher_steps, 1)
        count = self.noise_scheduler.config.num_train_timesteps
        if count % teacher_steps or teacher_steps % num_calls:
            raise InputError(
                f"teacher_steps {teacher_steps} and num_calls {num_calls}: the steps must divide {count}, and the "
                "calls the steps; use module.teacher_steps=8 with module.num_calls=1, 2 or 4"
            )
        self.num_calls, self.teacher_steps = num_calls, teacher_steps
        self.guidance = Guidance(guidance_scale, interval, rescale, parallel)
        self.stride, self.teacher_stride = count // num_calls, count // teacher_steps
        self.noise_levels = range(self.stride - 1, count, self.stride)  # the student's own
        self.learns_from: Teacher | None = None

    def learn_from(self, teacher: LatentDiffusion) -> None:
        """Start from a trained model's weights (see `start_as`), and keep that model, frozen, as the teacher."""
        start_as(self, teacher)
        teacher.eval().requires_grad_(False)
        self.learns_from = Teacher(teacher)

    @property
    def teacher(self) -> LatentDiffusion:
        """The model that it learns from. Raises InputError if there is none."""
        if self.learns_from is None:
            raise InputError(
                "a student learns from a trained model; hand it to learn_from, or set module.teacher.model_name"
            )
        return self.learns_from.model

    def on_fit_start(self) -> None:
        """Move the teacher to the student's device. Raises InputError if there is none."""
        self.teacher.to(self.device)

    def noisy(self, noise_scheduler: NoiseScheduler, batch: Batch, draws: Draws) -> Noisy:
        """The backbone's input, noised to the student's own next level at or above each drawn timestep."""
        timesteps = (draws.timesteps // self.stride + 1) * self.stride - 1
        return super().noisy(noise_scheduler, batch, replace(draws, timesteps=timesteps))

    def target(self, prediction_type: str, batch: Batch, draws: Draws, noisy: Noisy, text: TextStates) -> Tensor:
        """The clean latents (B, T, D) with which the student's step lands where its teacher's steps land."""
        return self.landing(noisy.latents, noisy.timesteps, text, batch.mask)

    @torch.no_grad()
    def landing(self, noisy_latents: Tensor, timesteps: Tensor, text: TextStates, mask: Tensor | None = None) -> Tensor:
        """The clean latents (B, T, D) that the student is to predict at its own levels `timesteps` (B,)."""
        num_steps, null = self.teacher_steps // self.num_calls, self.null_states(len(noisy_latents))
        denoise = self.guidance.denoiser(self.teacher.backbone, self.noise_scheduler, text, null, mask=mask)
        landed = ddim_steps(denoise, self.noise_scheduler, noisy_latents, timesteps, self.teacher_stride, num_steps)
        level, below = (level_at(self.noise_scheduler, t) for t in (timesteps, timesteps - self.stride))
        return landing_target(noisy_latents, landed, level, below)

    def generate(self, sampler: Sampler, *arguments: Any, **options: Any) -> Tensor:
        """As `LatentDiffusion.generate`. Raises InputError for another number of steps than it was distilled for."""
        if sampler.num_steps != self.num_calls:
            raise InputError(
                f"a student distilled into {self.num_calls} calls cannot take {sampler.num_steps} steps; "
                f"use sampler.num_steps={self.num_calls}, or distill another with module.num_calls"
            )
        return super().generate(sampler, *arguments, **options)


def start_as(module: LatentDiffusion, trained: LatentDiffusion) -> None:
    """Copy a trained model's weights into a module.

    Raises InputError if the two differ in schedule, prediction type or backbone, or if the module has more frames.
    """
    schedules = [model.noise_scheduler for model in (module, trained)]
    if not torch.equal(*(schedule.alphas_cumprod for schedule in schedules)):
        raise InputError("the teacher's noise schedule is another; choose its noise_scheduler for the student")
    mine, its = (schedule.config.prediction_type for schedule in schedules)
    if mine != its:
        raise InputError(f"the teacher predicts {its}, the student {mine}; use objective={its}")
    mine, its = ({name: x.shape for name, x in model.state_dict().items()} for model in (module, trained))
    if mine != its:
        other = sorted(name for name in mine | its if mine.get(name) != its.get(name))
        raise InputError(
            f"the student's {other[0]} is {mine.get(other[0])}, its teacher's {its.get(other[0])}; choose the "
            "teacher's encoder_pair and backbone for the student"
        )
    own, most = module.num_frames, trained.num_frames
    if own > most:
        raise InputError(
            f"the teacher was trained on at most {most} frames, the student on {own}; use num_frames={most}"
        )
    module.load_state_dict(trained.state_dict() | {"frames": module.frames})
