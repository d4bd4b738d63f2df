"""The few-step student: a trained model, its guidance baked in, distilled into one to four network calls a query.

Guided distillation (Meng et al. 2023, arXiv 2210.03142) by progressive distillation (Salimans & Ho 2022, arXiv
2202.00512): one DDIM step of the student learns to land where several guided ones of its teacher land. Notation of
`formulas.py` and `ddim.py`.
"""

from collections.abc import Mapping
from dataclasses import replace

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
    """The clean latents with which one DDIM step from `level` to `below` lands on `landed` (B, T, D).

    x̃ of Salimans & Ho 2022 (arXiv 2202.00512, algorithm 2): the step's own equation solved for them.
    """
    (signal, sigma), (signal_below, sigma_below) = level, below
    ratio = sigma_below / sigma
    return (landed - ratio * noisy_latents) / (signal_below - ratio * signal)


class Student(LatentDiffusion):
    """Samples in `num_calls` DDIM steps without guidance what its teacher samples in `teacher_steps` with it.

    teacher: the name and step under which the training script finds the trained model that it hands to `learn_from`;
    a trained student needs it no more. guidance_scale, interval, rescale, parallel: the teacher's `Guidance`, baked
    in. parts: as for `LatentDiffusion`.
    The squared error is of the clean latents, whatever the backbone predicts, and the noise levels weigh the same.
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
        **parts,
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
        self.get_teacher = no_teacher

    def learn_from(self, teacher: LatentDiffusion) -> None:
        """Start as a copy of a trained model, and keep that, frozen, to learn from; see `start_as`."""
        start_as(self, teacher)
        teacher.eval().requires_grad_(False)
        # Behind a function: so it is in no state dict, and the EMA's copy of this module copies no teacher.
        self.get_teacher = lambda: teacher

    def on_fit_start(self) -> None:
        """Move the teacher to the student's device. Raises InputError where there is none."""
        self.get_teacher().to(self.device)

    def noisy(self, noise_scheduler: NoiseScheduler, batch: Batch, draws: Draws) -> Noisy:
        """As for its teacher, a drawn timestep standing for the student's own next level above it."""
        timesteps = (draws.timesteps // self.stride + 1) * self.stride - 1
        return super().noisy(noise_scheduler, batch, replace(draws, timesteps=timesteps))

    def target(self, prediction_type: str, batch: Batch, draws: Draws, noisy: Noisy, text: TextStates) -> Tensor:
        """The clean latents (B, T, D) with which its step lands where its teacher's steps land."""
        return self.landing(noisy.latents, noisy.timesteps, text, batch.mask)

    @torch.no_grad()
    def landing(self, noisy_latents: Tensor, timesteps: Tensor, text: TextStates, mask: Tensor | None = None) -> Tensor:
        """The clean latents (B, T, D) that the student is to predict at its own levels `timesteps` (B,)."""
        teacher, null = self.get_teacher(), self.null_states(len(noisy_latents))
        num_steps = self.teacher_steps // self.num_calls
        denoise = self.guidance.denoiser(teacher.backbone, self.noise_scheduler, text, null, mask=mask)
        landed = ddim_steps(denoise, self.noise_scheduler, noisy_latents, timesteps, self.teacher_stride, num_steps)
        level, below = (level_at(self.noise_scheduler, t) for t in (timesteps, timesteps - self.stride))
        return landing_target(noisy_latents, landed, level, below)

    def generate(self, sampler: Sampler, *arguments, **options) -> Tensor:
        """As `LatentDiffusion.generate`; refuses other steps than those it was distilled for."""
        if sampler.num_steps != self.num_calls:
            raise InputError(
                f"a student distilled into {self.num_calls} calls cannot take {sampler.num_steps} steps; "
                f"use sampler.num_steps={self.num_calls}, or distill another with module.num_calls"
            )
        return super().generate(sampler, *arguments, **options)


def start_as(module: LatentDiffusion, trained: LatentDiffusion) -> None:
    """Copy a trained model's weights into a module.

    Raises InputError where the two differ in schedule, prediction type or backbone, or the module has more frames.
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


def no_teacher() -> LatentDiffusion:
    """Stands for the teacher of a student that was given none: raises InputError."""
    raise InputError("a student learns from a trained model; hand it to learn_from, or set module.teacher.model_name")
