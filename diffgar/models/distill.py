"""The few-step student: a trained model, its guidance baked in, distilled into one to four network calls a query.

Guided distillation (Meng et al. 2023, arXiv 2210.03142) by progressive distillation (Salimans & Ho 2022, arXiv
2202.00512): one DDIM step of the student learns to land where several guided ones of its teacher land. Notation of
`diffusion.py`; a level is (signal, sigma), and the clean end is (1, 0).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from diffgar.models.diffusion import clean_latents, drop_captions, implied_noise, masked_mse, signal_and_sigma
from diffgar.models.guidance import Term, guidance_terms, join_texts
from diffgar.models.ldm import LatentDiffusion, States
from diffgar.models.sampling import Sampler

Level = tuple[Tensor, Tensor]  # signal and sigma, (B, 1, 1) each
Predict = Callable[[Tensor, Tensor], Tensor]  # noisy latents (B, T, D) and timesteps (B,) → prediction (B, T, D)


def level_at(noise_scheduler, timesteps: Tensor) -> Level:
    """The level of each timestep (B,); below 0 is the clean end, as DDIM's last step has it."""
    signal, sigma = signal_and_sigma(noise_scheduler, timesteps.clamp(min=0))
    clean = (timesteps < 0).view(-1, 1, 1)
    return signal.masked_fill(clean, 1.0), sigma.masked_fill(clean, 0.0)


def guided(backbone: nn.Module, terms: Sequence[Term], mask: Tensor | None = None) -> Predict:
    """The backbone's weighted sum of predictions for `terms`, in one call, each sample at its own timestep.

    `guidance.Denoiser` takes one timestep for all of them.
    """
    count, text = len(terms), backbone.prepare_text(*join_texts(terms))
    masks = None if mask is None else mask.repeat(count, 1)

    def predict(noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
        predictions = backbone(noisy_latents.repeat(count, 1, 1), timesteps.repeat(count), text, mask=masks)
        predictions = predictions.to(noisy_latents.dtype).unflatten(0, (count, -1))  # (K, B, T, D)
        weights = torch.tensor([term.weight for term in terms]).to(predictions)
        return torch.einsum("k,kbtd->btd", weights, predictions)

    return predict


def ddim_steps(
    predict: Predict, noise_scheduler, noisy_latents: Tensor, timesteps: Tensor, stride: int, num_steps: int
) -> Tensor:
    """The latents (B, T, D) after `num_steps` DDIM steps of `stride` timesteps (Song et al. 2021, arXiv 2010.02502,
    eq. 12 without noise), each sample from its own of `timesteps` (B,)."""
    prediction_type, latents = noise_scheduler.config.prediction_type, noisy_latents
    for done in range(num_steps):
        now = timesteps - done * stride
        level, (signal_below, sigma_below) = (level_at(noise_scheduler, t) for t in (now, now - stride))
        prediction = predict(latents, now)
        clean = clean_latents(prediction_type, prediction, latents, *level)
        latents = signal_below * clean + sigma_below * implied_noise(prediction_type, prediction, latents, *level)
    return latents


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
    a trained student needs it no more. guidance_scale: the teacher's, baked in. parts: as for `LatentDiffusion`.
    Of the objective it takes the prediction type, the caption dropout and the contrastive term; the error is of the
    clean latents, unweighted, whatever the backbone predicts.
    """

    row = "student"

    def __init__(
        self,
        num_calls: int = 2,
        teacher_steps: int = 8,
        guidance_scale: float = 3.0,
        teacher: Mapping | None = None,
        **parts,
    ):
        super().__init__(**parts)
        count = self.noise_scheduler.config.num_train_timesteps
        if count % teacher_steps or teacher_steps % num_calls:
            raise ValueError(
                f"teacher_steps {teacher_steps} and num_calls {num_calls}: the steps must divide {count}, and the "
                "calls the steps; use module.teacher_steps=8 with module.num_calls=1, 2 or 4"
            )
        self.num_calls, self.teacher_steps, self.guidance_scale = num_calls, teacher_steps, guidance_scale
        self.stride, self.teacher_stride = count // num_calls, count // teacher_steps
        self.noise_levels = range(self.stride - 1, count, self.stride)  # the student's own
        self.get_teacher = no_teacher

    def learn_from(self, teacher: LatentDiffusion) -> None:
        """Start as a copy of a trained model, and keep that, frozen, to learn from.

        Raises ValueError where the two differ in schedule, prediction type or backbone.
        """
        schedules = [model.noise_scheduler for model in (self, teacher)]
        if not torch.equal(*(schedule.alphas_cumprod for schedule in schedules)):
            raise ValueError("the teacher's noise schedule is another; choose its noise_scheduler for the student")
        mine, its = (schedule.config.prediction_type for schedule in schedules)
        if mine != its:
            raise ValueError(f"the teacher predicts {its}, the student {mine}; use objective={its}")
        mine, its = ({name: x.shape for name, x in model.state_dict().items()} for model in (self, teacher))
        if mine != its:
            other = sorted(name for name in mine | its if mine.get(name) != its.get(name))
            raise ValueError(
                f"the student's {other[0]} is {mine.get(other[0])}, its teacher's {its.get(other[0])}; choose the "
                "teacher's encoder_pair and backbone for the student"
            )
        self.load_state_dict(teacher.state_dict())
        teacher.eval().requires_grad_(False)
        # Behind a function: so it is in no state dict, and the EMA's copy of this module copies no teacher.
        self.get_teacher = lambda: teacher

    def on_fit_start(self) -> None:
        self.get_teacher().to(self.device)

    def _losses(self, batch: dict, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """Per-sample losses (B,); a drawn timestep stands for the student's next level above it."""
        mask = batch["mask"]
        latents = self.normalise(batch["latents"]) * mask.unsqueeze(-1)  # (B, T, D)
        states = drop_captions(batch["text"].float(), batch["text_mask"], self.null_text, draws["dropped"])
        timesteps = (draws["timesteps"] // self.stride + 1) * self.stride - 1
        level = level_at(self.noise_scheduler, timesteps)
        noisy_latents = level[0] * latents + level[1] * draws["noise"]
        target = self.target(noisy_latents, timesteps, states, mask)
        prediction = self.backbone(noisy_latents, timesteps, *states, mask)
        clean = clean_latents(self.objective.prediction_type, prediction.float(), noisy_latents, *level)
        return self._with_contrastive(masked_mse(clean, target, mask), clean, latents, mask)

    @torch.no_grad()
    def target(self, noisy_latents: Tensor, timesteps: Tensor, caption: States, mask: Tensor | None = None) -> Tensor:
        """The clean latents (B, T, D) that the student is to predict at its own levels `timesteps` (B,)."""
        teacher = self.get_teacher()
        terms = guidance_terms(caption, self.null_states(len(noisy_latents)), self.guidance_scale)
        num_steps = self.teacher_steps // self.num_calls
        predict = guided(teacher.backbone, terms, mask)
        landed = ddim_steps(predict, self.noise_scheduler, noisy_latents, timesteps, self.teacher_stride, num_steps)
        level, below = (level_at(self.noise_scheduler, t) for t in (timesteps, timesteps - self.stride))
        return landing_target(noisy_latents, landed, level, below)

    def generate(self, sampler: Sampler, *arguments, **options) -> Tensor:
        """As `LatentDiffusion.generate`; refuses other steps than those it was distilled for."""
        if sampler.num_steps != self.num_calls:
            raise ValueError(
                f"a student distilled into {self.num_calls} calls cannot take {sampler.num_steps} steps; "
                f"use sampler.num_steps={self.num_calls}, or distill another with module.num_calls"
            )
        return super().generate(sampler, *arguments, **options)


def no_teacher() -> LatentDiffusion:
    raise ValueError("a student learns from a trained model; hand it to learn_from, or set module.teacher.model_name")
