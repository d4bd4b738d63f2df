"""What every model trained on latents has: their normalisation and length, the optimiser, dropout by step."""

from collections.abc import Callable, Iterable

import torch
from pytorch_lightning.utilities.types import LRSchedulerTypeUnion, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from diffgar.batch import Batch
from diffgar.errors import InputError
from diffgar.models.clipping import ClipsGradients
from diffgar.models.diffusion.noise_keys import seed_of
from diffgar.values import whole

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeLRScheduler = Callable[[Optimizer], LRSchedulerTypeUnion]


class LatentModule(ClipsGradients):
    """A model of latents (B, T, D). Its checkpoint holds the statistics of what it was trained on.

    latent_mean, latent_std (D,): those of the train store. null_text (L, C): the states of the empty caption.
    num_frames: the longest training sequence. optimizer: makes the optimiser from the parameters. lr_scheduler: makes
    the learning-rate schedule from the optimiser. A model that is not trained needs neither.
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
        optimizer: MakeOptimizer | None = None,
        lr_scheduler: MakeLRScheduler | None = None,
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
        """The most frames that it was trained on."""
        return int(self.frames)

    def normalise(self, latents: Tensor) -> Tensor:
        """Latents (..., D) in the encoder's scale to mean 0 and deviation 1, in float32."""
        return (latents.float() - self.latent_mean) / self.latent_std

    def denormalise(self, latents: Tensor) -> Tensor:
        """Normalised latents (..., D) back to the encoder's scale, in float32."""
        return latents.float() * self.latent_std + self.latent_mean

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by seed and step: resuming, or more processes (see `layers.Dropout`), changes none of it."""
        seed = self.trainer.datamodule.seed  # type: ignore[attr-defined]  # Lightning sets it without declaring it
        torch.manual_seed(seed_of("dropout", seed, batch.step))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser, and its learning-rate schedule by optimiser step. Raises InputError if it was given none."""
        if self.make_optimizer is None or self.make_lr_scheduler is None:
            raise InputError(f"this {type(self).__name__} has no optimizer or no lr_scheduler; build it with both")
        optimizer = self.make_optimizer(self.parameters())
        lr_scheduler = self.make_lr_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"}}
