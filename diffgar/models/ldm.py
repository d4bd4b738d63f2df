"""The latent diffusion model as a Lightning module: it draws, asks the objective for the loss, and logs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from diffgar.errors import InputError
from diffgar.models.backbones.base import check_backbone
from diffgar.models.diffusion.noise_keys import seed_of
from diffgar.models.diffusion.objective import check_schedule, drop_captions
from diffgar.models.diffusion.sampling import Sampler, draw_noise, sample
from diffgar.models.distributed import gather_rows
from diffgar.models.latent_module import LatentModule

States = tuple[Tensor, Tensor]  # token states (B, L, C) and their mask (B, L)


class LatentDiffusion(LatentModule):
    """Generates latents (B, T, D) from the text states of a caption.

    Training sees normalised latents; `generate` gives them back in the encoder's own scale. joint: whether the encoder
    pair is, which decides the `centre`. parts: as for `LatentModule`.
    """

    row = "gdr"  # its name in a table
    sampled = True  # its queries depend on the sampler
    noise_levels = (100, 300, 500, 700, 900)  # timesteps at which validation reports the loss

    def __init__(self, backbone: nn.Module, noise_scheduler, objective, seed: int = 0, joint: bool = True, **parts):
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
        """What latents are ranked about, (D,): in a joint space its origin, else the train store's mean.

        Latents that have much in common all point the same way; captions are compared with them in no space but the
        model's own, so nothing ties that to the origin.
        """
        return torch.zeros_like(self.latent_mean) if self.joint else self.latent_mean

    def as_ranked(self, latents: Tensor) -> Tensor:
        """Normalised latents in the encoder's scale, about the centre: as retrieval compares their means."""
        return latents.float() * self.latent_std + (self.latent_mean - self.centre)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        losses = self._losses(batch, self._draws(batch))
        means = {f"train/{name}": value.mean() for name, value in losses.items()}
        self.log_dict(means, prog_bar=True, sync_dist=True)
        return losses["loss"].mean()

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        draws = self._draws(batch)
        draws["dropped"] = torch.zeros_like(draws["dropped"])
        for level in self.noise_levels:
            draws["timesteps"] = torch.full_like(draws["timesteps"], level)
            loss = self._losses(batch, draws)["loss"].mean()
            self.log(f"val/loss_{level}", loss, batch_size=len(batch["latents"]), sync_dist=True)

    def _losses(self, batch: dict, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """Per-sample losses (B,) by name."""
        latents = self.normalise(batch["latents"]) * batch["mask"].unsqueeze(-1)  # (B, T, D)
        text = drop_captions(batch["text"].float(), batch["text_mask"], self.null_text, draws["dropped"])
        error, predicted = self.objective.errors(
            self.backbone, self.noise_scheduler, latents, draws["noise"], draws["timesteps"], text, batch["mask"]
        )
        return self._with_contrastive(error, predicted, latents, batch)

    def _with_contrastive(self, error: Tensor, predicted: Tensor, latents: Tensor, batch: dict) -> dict[str, Tensor]:
        """Losses (B,) by name, of the error (B,) and the clean latents (B, T, D) that were predicted and are true."""
        views, groups = (predicted, latents, batch["mask"]), batch.get("track")
        return self.objective.losses(error, *views, self.as_ranked, gather_rows, groups)

    def _draws(self, batch: dict) -> dict[str, Tensor]:
        """Noise, timesteps and dropped captions of this process's samples.

        Drawn for the whole global batch from (seed, step) and cut, so that they do not depend on the number of
        processes, nor on whether the run was resumed.
        """
        size, world_size = len(batch["latents"]), self.trainer.world_size
        mine = slice(self.trainer.global_rank * size, (self.trainer.global_rank + 1) * size)
        purpose = "training" if self.training else "validation"
        generator = torch.Generator(self.device).manual_seed(seed_of(purpose, self.seed, batch["step"]))
        options = {"generator": generator, "device": self.device}
        noise = torch.randn(size * world_size, *batch["latents"].shape[1:], **options)
        num_timesteps = self.noise_scheduler.config.num_train_timesteps
        timesteps = torch.randint(num_timesteps, (size * world_size,), **options)
        dropped = torch.rand(size * world_size, **options) < self.objective.caption_dropout
        return {"noise": noise[mine], "timesteps": timesteps[mine], "dropped": dropped[mine]}

    @torch.no_grad()
    def generate(
        self,
        sampler: Sampler,
        captions: States,
        generators: list[torch.Generator],
        num_frames: int | None = None,
        negatives: Sequence[tuple[States, float]] = (),
        form: str = "compose",
    ) -> Tensor:
        """Latents (B, num_frames, D) in the encoder's scale, one generator a sample.

        captions: token states (B, L, C) and their mask (B, L). num_frames: as many as it was trained on, or fewer.
        negatives: states and mask of what to avoid, and how much. Raises InputError for more frames than trained on.
        """
        num_frames = self.frames_of(num_frames)
        avoided = [(*self.on_device(states), weight) for states, weight in negatives]
        caption, null = self.on_device(captions), self.null_states(len(generators))
        denoise = sampler.denoiser(self.backbone, self.noise_scheduler, caption, null, avoided, form)
        solver = sampler.start(self.noise_scheduler)
        noise = draw_noise(generators, num_frames, len(self.latent_mean), self.device)
        return self.denormalise(sample(denoise, solver, noise, solver.timesteps, generators))

    def frames_of(self, asked: int | None) -> int:
        """How many frames to generate. Raises InputError for more than it was trained on, or none."""
        most = self.num_frames
        if asked is not None and not 1 <= asked <= most:
            raise InputError(f"asked for {asked} frames, trained on at most {most}; ask for 1 to {most}")
        return most if asked is None else asked

    def on_device(self, states: States) -> States:
        return states[0].to(self.device, torch.float32), states[1].to(self.device)

    def null_states(self, size: int) -> States:
        """The empty caption's states (size, L, C) and mask."""
        states = self.null_text.expand(size, -1, -1)
        return states, torch.ones(states.shape[:2], dtype=torch.bool, device=self.device)


def warmup_cosine(optimizer, warmup_steps: int, max_steps: int, min_lr: float) -> SequentialLR:
    """Linear warm-up over `warmup_steps`, then cosine decay to `min_lr` at `max_steps`."""
    if not 0 <= warmup_steps < max_steps:
        raise InputError(
            f"warmup_steps {warmup_steps} leaves none of max_steps {max_steps}, or is below 0; set "
            "lr_scheduler.warmup_steps lower, from 0 on"
        )
    warmup = LinearLR(optimizer, start_factor=1 / max(warmup_steps, 1), total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, T_max=max_steps - warmup_steps, eta_min=min_lr)
    return SequentialLR(optimizer, [warmup, decay], milestones=[warmup_steps])
