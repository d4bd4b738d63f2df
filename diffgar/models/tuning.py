"""Training to rank: InfoNCE between tracks and the latents that the model's own sampler generates for them.

Gradients go through the last steps of the sampler alone: DRaFT-K of Clark et al. 2024 (arXiv 2309.17400, section 4).
The same term on predictions from noisy latents, which give the track away, helps little.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffgar.batch import Batch
from diffgar.errors import InputError
from diffgar.models.diffusion.ddim import ddim_steps
from diffgar.models.diffusion.guidance import Guidance
from diffgar.models.diffusion.loss_parts import Draws
from diffgar.models.distill import start_as
from diffgar.models.ldm import LatentDiffusion
from diffgar.text_states import TextStates
from diffgar.values import whole


class Tuned(LatentDiffusion):
    """Minimises the denoising error, plus the objective's contrastive term of the latents that it generates.

    num_steps, and guidance_scale, interval, rescale, parallel (see `Guidance`): the settings of the DDIM sampler in
    tuning, best those of its later use. gradient_steps: how many of the last steps gradients go through.
    teacher: name and step of the trained model that it starts from, which the training script opens and hands to
    `learn_from`; None trains it from scratch. parts: as for `LatentDiffusion`.
    """

    def __init__(
        self,
        num_steps: int = 4,
        guidance_scale: float = 3.0,
        interval: tuple[float, float] = (0.0, 1.0),
        rescale: float = 0.0,
        parallel: float = 1.0,
        gradient_steps: int = 1,
        teacher: Mapping | None = None,
        **parts: Any,
    ):
        super().__init__(**parts)
        if not self.objective.contrastive_weight:
            raise InputError(
                "a model is tuned by the objective's contrastive term, and its weight is 0; use "
                "objective.contrastive_loss=info_nce objective.contrastive_weight=3"
            )
        whole("num_steps", num_steps, 1)
        whole("gradient_steps", gradient_steps, 1)
        count = self.noise_scheduler.config.num_train_timesteps
        if count % num_steps or gradient_steps > num_steps:
            raise InputError(
                f"num_steps {num_steps} and gradient_steps {gradient_steps}: the steps must divide {count}, and "
                "gradients go through 1 to all of them; use sampler.num_steps=4 with module.gradient_steps=1"
            )
        self.num_steps, self.gradient_steps = num_steps, gradient_steps
        self.row = "tuned" if teacher else super().row
        self.guidance = Guidance(guidance_scale, interval, rescale, parallel)

    def learn_from(self, trained: LatentDiffusion) -> None:
        """Start from a trained model's weights; see `start_as`."""
        start_as(self, trained)

    def ranked(self, clean: Tensor, batch: Batch, draws: Draws) -> Tensor | None:
        """In training the latents (B, T, D) that its sampler generates from the noise; None in validation."""
        return self.generated(draws.noise, batch.text, batch.mask) if self.training else None

    def generated(self, noise: Tensor, text: TextStates, mask: Tensor | None = None) -> Tensor:
        """Normalised latents (B, T, D) sampled from noise (B, T, D), with gradients through the last steps."""
        stride = self.noise_scheduler.config.num_train_timesteps // self.num_steps
        first = torch.full((len(noise),), stride * self.num_steps - 1, device=noise.device)
        parts = self.backbone, self.noise_scheduler, text, self.null_states(len(noise))

        def steps(latents: Tensor, done: int, num_steps: int) -> Tensor:
            denoise = self.guidance.denoiser(*parts, mask=mask)
            return ddim_steps(denoise, self.noise_scheduler, latents, first - done * stride, stride, num_steps)

        done = self.num_steps - self.gradient_steps
        with torch.no_grad():
            latents = steps(noise, 0, done)
        return steps(latents, done, self.gradient_steps)
