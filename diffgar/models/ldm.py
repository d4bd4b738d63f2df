"""The latent diffusion model as a Lightning module: it draws, asks the objective for the loss, and logs."""

from collections.abc import Callable, Sequence

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from diffgar.models.backbones.base import check_backbone
from diffgar.models.diffusion import check_schedule, drop_captions
from diffgar.models.precision import ClipsGradients
from diffgar.models.processes import gather_rows
from diffgar.models.sampling import Sampler, draw_noise, sample, seed_of

States = tuple[Tensor, Tensor]  # token states (B, L, C) and their mask (B, L)


class LatentDiffusion(ClipsGradients, LightningModule):
    """Generates latents (B, T, D) from the text states of a caption.

    latent_mean, latent_std (D,): the train store's, kept in the checkpoint. Training sees normalised latents;
    `generate` gives them back in the encoder's own scale. null_text (L, C): the states of the empty caption.
    validate: called with this module at every validation, returns metrics to log ("R@10" chooses the checkpoint).
    """

    row = "gdr"  # its name in a table
    sampled = True  # its queries depend on the sampler
    noise_levels = (100, 300, 500, 700, 900)  # timesteps at which validation reports the loss

    def __init__(
        self,
        backbone: nn.Module,
        noise_scheduler,
        objective,
        latent_mean: Tensor,
        latent_std: Tensor,
        null_text: Tensor,
        optimizer: Callable | None = None,
        lr_scheduler: Callable | None = None,
        seed: int = 0,
    ):
        super().__init__()
        check_backbone(backbone)
        check_schedule(noise_scheduler)
        self.backbone, self.noise_scheduler, self.objective = backbone, noise_scheduler, objective
        self.make_optimizer, self.make_lr_scheduler, self.seed = optimizer, lr_scheduler, seed
        self.validate: Callable[[LatentDiffusion], dict[str, float]] | None = None
        self.register_buffer("latent_mean", torch.as_tensor(latent_mean, dtype=torch.float32))
        self.register_buffer("latent_std", torch.as_tensor(latent_std, dtype=torch.float32))
        self.register_buffer("null_text", torch.as_tensor(null_text, dtype=torch.float32))

    def normalise(self, latents: Tensor) -> Tensor:
        return (latents.float() - self.latent_mean) / self.latent_std

    def denormalise(self, latents: Tensor) -> Tensor:
        return latents.float() * self.latent_std + self.latent_mean

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        """Dropout follows seed and step: resuming, or more processes (see `layers.Dropout`), changes none of it."""
        torch.manual_seed(seed_of(self.trainer.datamodule.seed, 3, batch["step"]))

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

    def on_validation_epoch_start(self) -> None:
        """Retrieval is watched here because here the EMA weights are in place (they leave before epoch end)."""
        if self.validate is not None:
            metrics = self.validate(self)
            self.log_dict({f"val/{name}": value for name, value in metrics.items()}, prog_bar=True, sync_dist=True)

    def _losses(self, batch: dict, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """Per-sample losses (B,) by name."""
        latents = self.normalise(batch["latents"]) * batch["mask"].unsqueeze(-1)  # (B, T, D)
        text = drop_captions(batch["text"].float(), batch["text_mask"], self.null_text, draws["dropped"])
        error, predicted = self.objective.errors(
            self.backbone, self.noise_scheduler, latents, draws["noise"], draws["timesteps"], text, batch["mask"]
        )
        return self._with_contrastive(error, predicted, latents, batch["mask"])

    def _with_contrastive(self, error: Tensor, predicted: Tensor, latents: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Losses (B,) by name, of the error (B,) and the clean latents (B, T, D) that were predicted and are true."""
        return self.objective.losses(error, predicted, latents, mask, self.denormalise, gather_rows)

    def _draws(self, batch: dict) -> dict[str, Tensor]:
        """Noise, timesteps and dropped captions of this process's samples.

        Drawn for the whole global batch from (seed, step) and cut, so that they do not depend on the number of
        processes, nor on whether the run was resumed.
        """
        size, world_size = len(batch["latents"]), self.trainer.world_size
        mine = slice(self.trainer.global_rank * size, (self.trainer.global_rank + 1) * size)
        generator = torch.Generator(self.device).manual_seed(seed_of(self.seed, 2, batch["step"]))
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
        num_frames: int,
        negatives: Sequence[tuple[States, float]] = (),
        form: str = "compose",
    ) -> Tensor:
        """Latents (B, num_frames, D) in the encoder's scale, one generator a sample.

        captions: token states (B, L, C) and their mask (B, L). negatives: the same of what to avoid, and how much.
        """
        avoided = [(*self.on_device(states), weight) for states, weight in negatives]
        caption, null = self.on_device(captions), self.null_states(len(generators))
        denoise = sampler.denoiser(self.backbone, self.noise_scheduler, caption, null, avoided, form)
        solver = sampler.start(self.noise_scheduler)
        noise = draw_noise(generators, num_frames, len(self.latent_mean), self.device)
        return self.denormalise(sample(denoise, solver, noise, solver.timesteps, generators))

    def on_device(self, states: States) -> States:
        return states[0].to(self.device, torch.float32), states[1].to(self.device)

    def null_states(self, size: int) -> States:
        """The empty caption's states (size, L, C) and mask."""
        states = self.null_text.expand(size, -1, -1)
        return states, torch.ones(states.shape[:2], dtype=torch.bool, device=self.device)

    def configure_optimizers(self) -> dict:
        optimizer = self.make_optimizer(self.parameters())  # the backbone's: the rest are buffers
        scheduler = {"scheduler": self.make_lr_scheduler(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def warmup_cosine(optimizer, warmup_steps: int, max_steps: int, min_lr: float) -> SequentialLR:
    """Linear warm-up over `warmup_steps`, then cosine decay to `min_lr` at `max_steps`."""
    if warmup_steps >= max_steps:
        raise ValueError(
            f"warmup_steps {warmup_steps} leaves none of max_steps {max_steps}; set lr_scheduler.warmup_steps lower"
        )
    warmup = LinearLR(optimizer, start_factor=1 / max(warmup_steps, 1), total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, T_max=max_steps - warmup_steps, eta_min=min_lr)
    return SequentialLR(optimizer, [warmup, decay], milestones=[warmup_steps])
