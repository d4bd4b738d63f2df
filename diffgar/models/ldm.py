"""The latent diffusion model as a Lightning module: it draws noise, gets the loss from the objective, and logs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from diffgar.batch import Batch
from diffgar.errors import InputError
from diffgar.models.backbones.base import Backbone, check_backbone
from diffgar.models.diffusion.formulas import NoiseScheduler
from diffgar.models.diffusion.guidance import Negative
from diffgar.models.diffusion.loss_parts import Draws, LossParts, drop_captions
from diffgar.models.diffusion.noise_keys import seed_of
from diffgar.models.diffusion.objective import Objective, check_schedule
from diffgar.models.diffusion.sampling import Sampler, draw_noise, sample
from diffgar.models.latent_module import LatentModule
from diffgar.text_states import TextStates


class LatentDiffusion(LossParts, LatentModule):
    """Generates latents (B, T, D) from the text states of captions.

    It is trained on normalised latents; `generate` returns latents in the encoder's own scale. The loss is
    `Objective.loss`; a subclass changes its steps by overriding methods of `LossParts`.
    joint: whether captions and audio share one space; see `centre`. parts: as for `LatentModule`.
    """

    row = "gdr"  # its name in a table
    sampled = True  # its queries depend on the sampler
    noise_levels: Sequence[int] = (100, 300, 500, 700, 900)  # timesteps at which validation reports the loss

    def __init__(
        self,
        backbone: Backbone,
        noise_scheduler: NoiseScheduler,
        objective: Objective,
        seed: int = 0,
        joint: bool = True,
        **parts: Any,
    ):
        super().__init__(**parts)
        check_backbone(backbone)
        check_schedule(noise_scheduler)
        asked, found = objective.prediction_type, noise_scheduler.config.prediction_type
        if asked != found:
            raise InputError(f"the objective predicts {asked}, the noise scheduler {found}; set both to one of them")
        self.backbone, self.noise_scheduler, self.objective = backbone, noise_scheduler, objective
        self.seed, self.joint = seed, joint

    @property
    def centre(self) -> Tensor:
        """The point (D,) from which directions are compared in ranking: the origin, or the train store's mean.

        In a joint space it is the origin, as the encoders were trained. In other spaces latents share a mean that makes
        all of them point the same way; with the mean subtracted, their differences remain.
        """
        return torch.zeros_like(self.latent_mean) if self.joint else self.latent_mean

    def as_ranked(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, T, D) in the encoder's scale, relative to the centre, as retrieval compares them."""
        return latents.float() * self.latent_std + (self.latent_mean - self.centre)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a batch; logs it and its parts."""
        batch, draws = self.normalised(batch), self.draws(batch)
        losses = self.objective.loss(self.backbone, self.noise_scheduler, batch, draws, parts=self)
        means = {f"train/{name}": value for name, value in losses.means().items()}
        self.log_dict(means, prog_bar=True, sync_dist=True)
        return losses.total.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the loss at each of `noise_levels`, without dropping captions."""
        batch, draws = self.normalised(batch), self.draws(batch)
        none_dropped = torch.zeros_like(draws.dropped)
        for level in self.noise_levels:
            at_level = Draws(draws.noise, torch.full_like(draws.timesteps, level), none_dropped)
            losses = self.objective.loss(self.backbone, self.noise_scheduler, batch, at_level, parts=self)
            self.log(f"val/loss_{level}", losses.total.mean(), batch_size=len(batch), sync_dist=True)

    def normalised(self, batch: Batch) -> Batch:
        """The batch in the objective's form: float32, its latents normalised, and zero at padding frames."""
        latents = self.normalise(batch.latents) * batch.mask.unsqueeze(-1)  # (B, T, D)
        return replace(batch, latents=latents, text=batch.text.to(dtype=torch.float32))

    def text(self, batch: Batch, draws: Draws) -> TextStates:
        """The captions (B), some of them replaced by the empty one for guidance; see `drop_captions`."""
        return drop_captions(batch.text, self.null_text, draws.dropped)

    def draws(self, batch: Batch) -> Draws:
        """The random draws for this process's samples: noise, timesteps and dropped captions.

        They are drawn for the whole global batch from (seed, step) and then cut, so that they depend neither on the
        number of processes nor on whether the run was resumed.
        """
        size, rank = len(batch), self.trainer.global_rank
        global_size, mine = size * self.trainer.world_size, slice(rank * size, (rank + 1) * size)
        purpose = "training" if self.training else "validation"
        generator = torch.Generator(self.device).manual_seed(seed_of(purpose, self.seed, batch.step))
        shape, num_timesteps = (global_size, *batch.latents.shape[1:]), self.noise_scheduler.config.num_train_timesteps
        noise = torch.randn(shape, generator=generator, device=self.device)
        timesteps = torch.randint(num_timesteps, (global_size,), generator=generator, device=self.device)
        chances = torch.rand(global_size, generator=generator, device=self.device)
        return Draws(noise[mine], timesteps[mine], chances[mine] < self.objective.caption_dropout)

    @torch.no_grad()
    def generate(
        self,
        sampler: Sampler,
        text: TextStates,
        generators: Sequence[torch.Generator],
        num_frames: int | None = None,
        negatives: Sequence[Negative] = (),
        form: str = "compose",
    ) -> Tensor:
        """Latents (B, num_frames, D) in the encoder's scale, from one generator per sample.

        text: the captions (B). num_frames: by default as many as the model was trained on, which is also the most.
        negatives: captions (B) to avoid, each with its weight; form: see `guidance_terms`. Raises InputError for more
        frames than it was trained on.
        """
        num_frames = self.frames_of(num_frames)
        avoided = [(self.on_device(negative), weight) for negative, weight in negatives]
        caption, null = self.on_device(text), self.null_states(len(generators))
        denoise = sampler.denoiser(self.backbone, self.noise_scheduler, caption, null, avoided, form)
        solver = sampler.start(self.noise_scheduler)
        noise = draw_noise(generators, num_frames, len(self.latent_mean), self.device)
        return self.denormalise(sample(denoise, solver, noise, solver.timesteps, generators))

    def frames_of(self, asked: int | None) -> int:
        """The number of frames to generate. Raises InputError for more than it was trained on, or below 1."""
        most = self.num_frames
        if asked is not None and not 1 <= asked <= most:
            raise InputError(f"asked for {asked} frames, trained on at most {most}; ask for 1 to {most}")
        return most if asked is None else asked

    def on_device(self, text: TextStates) -> TextStates:
        """Captions on the model's device, in float32."""
        return text.to(self.device, torch.float32)

    def null_states(self, size: int) -> TextStates:
        """The states of the empty caption, `size` times."""
        states = self.null_text.expand(size, -1, -1)  # (size, L, C)
        return TextStates(states, torch.ones(states.shape[:2], dtype=torch.bool, device=self.device))


def warmup_cosine(optimizer: Optimizer, warmup_steps: int, max_steps: int, min_lr: float) -> SequentialLR:
    """Linear warm-up over `warmup_steps`, then cosine decay to `min_lr` at `max_steps`."""
    if not 0 <= warmup_steps < max_steps:
        raise InputError(
            f"warmup_steps {warmup_steps} leaves none of max_steps {max_steps}, or is below 0; set "
            "lr_scheduler.warmup_steps lower, from 0 on"
        )
    warmup = LinearLR(optimizer, start_factor=1 / max(warmup_steps, 1), total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, T_max=max_steps - warmup_steps, eta_min=min_lr)
    return SequentialLR(optimizer, [warmup, decay], milestones=[warmup_steps])
