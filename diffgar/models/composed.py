"""A baseline for composed requests: a head that moves a source track's mean latent by what an instruction says."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.batch import ComposedBatch
from diffgar.models.baselines import head, masked_mean
from diffgar.models.contrastive import info_nce
from diffgar.models.distributed import gather_rows
from diffgar.models.latent_module import LatentModule
from diffgar.text_states import TextStates


class ComposedHead(LatentModule):
    """Predicts the mean latent that a composed request asks for, trained with InfoNCE against the targets' own.

    An MLP reads the source's mean latent (D,) and the instruction's mean token state (C,); what it gives is added to
    the source's mean. The tracks stay where the frozen encoder puts them, so its queries search any index of them. (A
    combiner, as for composed image retrieval: Baldrati et al. 2022, CVPR workshops, but with a fixed index side.)
    text_dim: C. width: that of the hidden layer. joint: as for `LatentDiffusion`. parts: as for `LatentModule`.
    """

    row, sampled = "head", False

    def __init__(self, text_dim: int, width: int = 512, dropout: float = 0.1, joint: bool = False, **parts: Any):
        super().__init__(**parts)
        self.joint, dim = joint, len(self.latent_mean)
        self.norm = nn.LayerNorm(text_dim)
        self.change = head(dim + text_dim, width, dim, dropout)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def compose(self, means: Tensor, text: TextStates) -> Tensor:
        """Mean latents (B, D) of sources, in the encoder's scale, and instructions (B) to unit queries (B, D)."""
        source, text = self.normalise(means.to(self.device)), text.to(self.device)
        words = self.norm(masked_mean(text.hidden_states.float(), text.mask))  # (B, C)
        moved = source + self.change(torch.cat([source, words], dim=1))  # (B, D)
        return self.ranked(self.denormalise(moved))

    def ranked(self, means: Tensor) -> Tensor:
        """Mean latents (B, D) in the encoder's scale as unit vectors from the centre (see `LatentDiffusion.centre`)."""
        return F.normalize(means if self.joint else means - self.latent_mean, dim=-1)

    def loss(self, batch: ComposedBatch) -> Tensor:
        """The mean InfoNCE of a batch; requests with one target are not each other's negatives."""
        queries, targets = self.compose(batch.source, batch.text), self.ranked(batch.target.float())
        temperature = 1 / self.log_scale.exp().clamp(max=100)
        return info_nce(queries, targets, temperature, gather_rows, batch.track).mean()

    def training_step(self, batch: ComposedBatch, batch_idx: int) -> Tensor:
        """The loss of a batch, logged."""
        loss = self.loss(batch)
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: ComposedBatch, batch_idx: int) -> None:
        """Log the loss on validation requests."""
        self.log("val/loss", self.loss(batch), prog_bar=True, sync_dist=True, batch_size=len(batch))
