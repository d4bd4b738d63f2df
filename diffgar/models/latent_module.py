"""What every model trained on latents has: their normalisation and length, the optimiser, dropout by step."""

from collections.abc import Callable

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from diffgar.batch import Batch
from diffgar.models.diffusion.noise_keys import seed_of
from diffgar.models.precision import ClipsGradients
from diffgar.values import whole


class LatentModule(ClipsGradients, LightningModule):
    """A model of latents (B, T, D); what it was trained on stays in its checkpoint.

    latent_mean, latent_std (D,): the train store's. null_text (L, C): the states of the empty caption. num_frames: of
    the longest training row. optimizer, lr_scheduler: make them, of the parameters and of the optimiser.
    """

    latent_mean: Tensor
    latent_std: Tensor
    null_text: Tensor
    frames: Tensor

    def __init__(
        self,
        latent_mean: Tensor,
        latent_std: Tensor,
        null_text: Tensor,
        num_frames: int,
        optimizer: Callable | None = None,
        lr_scheduler: Callable | None = None,
    ):
        super().__init__()
        whole("num_frames", num_frames, 1)
        self.make_optimizer, self.make_lr_scheduler = optimizer, lr_scheduler
        self.register_buffer("latent_mean", torch.as_tensor(latent_mean, dtype=torch.float32))
        self.register_buffer("latent_std", torch.as_tensor(latent_std, dtype=torch.float32))
        self.register_buffer("null_text", torch.as_tensor(null_text, dtype=torch.float32))
        self.register_buffer("frames", torch.tensor(num_frames, dtype=torch.int64))

    @property
    def num_frames(self) -> int:
        """The most frames that it was trained on; a longer sequence it has never seen."""
        return int(self.frames)

    def normalise(self, latents: Tensor) -> Tensor:
        """Latents (..., D) of the encoder's scale to mean 0 and deviation 1, in float32."""
        return (latents.float() - self.latent_mean) / self.latent_std

    def denormalise(self, latents: Tensor) -> Tensor:
        """Normalised latents (..., D) back to the encoder's scale, in float32."""
        return latents.float() * self.latent_std + self.latent_mean

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Dropout follows seed and step: resuming, or more processes (see `layers.Dropout`), changes none of it."""
        torch.manual_seed(seed_of("dropout", self.trainer.datamodule.seed, batch.step))

    def configure_optimizers(self) -> dict:
        """The optimiser, and its learning-rate schedule by optimiser step."""
        optimizer = self.make_optimizer(self.parameters())
        scheduler = {"scheduler": self.make_lr_scheduler(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
