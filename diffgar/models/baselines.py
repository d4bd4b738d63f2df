"""Two rivals on the same data, encoders and evaluator, so that a table can say what diffusion itself brings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.errors import InputError
from diffgar.models.backbones.layers import Dropout
from diffgar.models.contrastive import info_nce
from diffgar.models.diffusion.objective import drop_captions, masked_mse
from diffgar.models.distributed import gather_rows
from diffgar.models.latent_module import LatentModule
from diffgar.models.ldm import LatentDiffusion, States


class Regression(LatentDiffusion):
    """The same backbone without noise: from a caption straight to the latents' mean, by least squares.

    The backbone sees zeros in the place of the noisy latents, at the noisiest timestep. Every sample is the same, and
    there is nothing to guide. A contrastive term of the objective draws it from the mean to what ranks well.
    """

    row, sampled = "regression", False
    noise_levels = (999,)  # it has but one

    def _predict(self, states: States, num_frames: int, mask: Tensor | None = None) -> Tensor:
        zeros = torch.zeros(len(states[0]), num_frames, len(self.latent_mean), device=self.device)
        last = self.noise_scheduler.config.num_train_timesteps - 1
        return self.backbone(zeros, torch.full((len(zeros),), last, device=self.device), *states, mask)

    def _losses(self, batch: dict, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        latents, mask = self.normalise(batch["latents"]), batch["mask"]  # (B, T, D)
        states = drop_captions(batch["text"].float(), batch["text_mask"], self.null_text, draws["dropped"])
        prediction = self._predict(states, latents.shape[1], mask)
        error = masked_mse(prediction, latents, mask)
        return self._with_contrastive(error, prediction, latents, batch)

    @torch.no_grad()
    def generate(
        self, sampler, captions: States, generators, num_frames: int | None = None, negatives=(), form="compose"
    ) -> Tensor:
        """Latents (B, num_frames, D) in the encoder's scale; the sampler and the generators change nothing."""
        num_frames = self.frames_of(num_frames)
        if negatives:
            raise InputError("a regression has no guidance, so no negative captions; steer its queries by arithmetic")
        return self.denormalise(self._predict(self.on_device(captions), num_frames))


class ContrastiveHeads(LatentModule):
    """Projection heads on the frozen latents and text states, trained with InfoNCE: a joint space for any pair.

    audio: the track's mean latent (D,) through an MLP; text: the mean token state (C,) through another. The learned
    temperature and the symmetric loss are CLIP's (Radford et al. 2021, arXiv 2103.00020). parts: as for `LatentModule`.
    """

    row, sampled = "contrastive", False

    def __init__(self, text_dim: int, width: int = 512, dim: int = 128, dropout: float = 0.1, **parts):
        super().__init__(**parts)
        self.audio_head = head(len(self.latent_mean), width, dim, dropout)
        self.text_head = head(text_dim, width, dim, dropout)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def embed_audio(self, means: Tensor) -> Tensor:
        """Mean latents (N, D) in the encoder's scale to unit vectors (N, dim)."""
        means = (means.to(self.device) - self.latent_mean) / self.latent_std
        return F.normalize(self.audio_head(means), dim=-1)

    def embed_text(self, text: Tensor, text_mask: Tensor) -> Tensor:
        """Token states (B, L, C) and their mask to unit vectors (B, dim)."""
        weights = text_mask.to(self.device).unsqueeze(-1).float()  # (B, L, 1)
        pooled = (text.to(self.device) * weights).sum(dim=1) / weights.sum(dim=1)  # (B, C)
        return F.normalize(self.text_head(pooled), dim=-1)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        weights = batch["mask"].unsqueeze(-1).float()
        means = (batch["latents"].float() * weights).sum(dim=1) / weights.sum(dim=1)  # (B, D)
        text = self.embed_text(batch["text"], batch["text_mask"])
        temperature = 1 / self.log_scale.exp().clamp(max=100)
        loss = info_nce(text, self.embed_audio(means), temperature, gather_rows, batch.get("track")).mean()
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Nothing but retrieval is watched."""


def head(inputs: int, width: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.GELU(), Dropout(dropout), nn.Linear(width, outputs)
    )
