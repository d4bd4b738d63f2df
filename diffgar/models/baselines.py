"""Two baselines on the same data, encoders and evaluator: a table with them shows what diffusion itself brings."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from diffgar.batch import Batch
from diffgar.errors import InputError
from diffgar.models.backbones.base import Backbone
from diffgar.models.backbones.layers import Dropout, TextPooling
from diffgar.models.contrastive import against_reverse, info_nce
from diffgar.models.diffusion.formulas import NoiseScheduler, signal_and_sigma
from diffgar.models.diffusion.guidance import Negative
from diffgar.models.diffusion.loss_parts import Draws, Noisy
from diffgar.models.diffusion.objective import Objective
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.distributed import gather_rows
from diffgar.models.encoders.segments import segment_means, side_by_side
from diffgar.models.latent_module import LatentModule
from diffgar.models.ldm import LatentDiffusion
from diffgar.text_states import TextStates
from diffgar.values import number, whole


class Regression(LatentDiffusion):
    """The same backbone without diffusion: it predicts the latents' mean given the caption, by least squares.

    The backbone gets zeros in place of the noisy latents, at the noisiest timestep. So all samples of a caption are
    equal, and guidance has no effect. A contrastive term of the objective moves the prediction from the mean towards
    one that ranks well; the objective's prediction type and its weights of the noise levels do not apply.
    """

    row, sampled = "regression", False
    noise_levels = (999,)  # the only one

    def __init__(self, backbone: Backbone, noise_scheduler: NoiseScheduler, objective: Objective, **parts: Any):
        super().__init__(backbone, noise_scheduler, objective, **parts)
        # It predicts latents whatever the noise scheduler says, and a single noise level needs no weight.
        self.objective = replace(objective.unweighted(), prediction_type="sample")

    def noisy(self, noise_scheduler: NoiseScheduler, batch: Batch, draws: Draws) -> Noisy:
        """The backbone's input: zeros (B, T, D), whatever the batch's latents and the draws are."""
        return self.nothing(*batch.mask.shape)

    def nothing(self, size: int, num_frames: int) -> Noisy:
        """Zeros (size, num_frames, D) at the noisiest timestep."""
        last = self.noise_scheduler.config.num_train_timesteps - 1
        timesteps = torch.full((size,), last, device=self.device)
        zeros = torch.zeros(size, num_frames, len(self.latent_mean), device=self.device)
        return Noisy(zeros, timesteps, signal_and_sigma(self.noise_scheduler, timesteps))

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
        """Latents (B, num_frames, D) in the encoder's scale; the sampler and the generators change nothing."""
        num_frames = self.frames_of(num_frames)
        if negatives:
            raise InputError("a regression has no guidance, so no negative captions; steer its queries by arithmetic")
        noisy = self.nothing(len(text), num_frames)
        return self.denormalise(self.backbone(noisy.latents, noisy.timesteps, self.on_device(text)))


class ContrastiveHeads(LatentModule):
    """Projection heads on the frozen latents and text states, trained with InfoNCE: a joint space for any pair.

    One MLP projects a track's mean latent (D,), another the mean token state (C,) of a caption. The learned temperature
    and the symmetric loss are CLIP's (Radford et al. 2021, arXiv 2103.00020).
    text_dim: C. width: the width of the MLPs' hidden layer. dim: that of the joint space. parts: as for `LatentModule`.
    segments: P. With more than one, tracks are compared by P parts side by side (see `side_by_side`): the audio head
    projects the mean latent of each, and the text head makes P vectors from token states that heads of attention pool,
    so that the order of the words can say what each part has. reverse_weight: then that of `against_reverse`.
    """

    row, sampled = "contrastive", False

    def __init__(
        self,
        text_dim: int,
        width: int = 512,
        dim: int = 128,
        dropout: float = 0.1,
        segments: int = 1,
        reverse_weight: float = 0.0,
        **parts: Any,
    ):
        super().__init__(**parts)
        whole("module.segments", segments, least=1)
        number("module.reverse_weight", reverse_weight, least=0)
        self.segments, self.reverse_weight = segments, reverse_weight if segments > 1 else 0.0
        self.audio_head = head(len(self.latent_mean), width, dim, dropout)
        self.text_pooling = masked_mean if segments == 1 else NormedPooling(text_dim, width)
        self.text_head = head(text_dim if segments == 1 else width, width, segments * dim, dropout)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def embed_audio(self, means: Tensor) -> Tensor:
        """Mean latents (N, D) in the encoder's scale, or those of P parts (N, P, D), to unit vectors (N, P · dim).

        With several segments it raises InputError for another number of parts.
        """
        if self.segments > 1 and means.shape[1:-1] != (self.segments,):
            raise InputError(
                f"contrastive heads of {self.segments} segments project the mean latents of as many parts, "
                f"(N, {self.segments}, D), found {tuple(means.shape)}; make them by segments.segment_means"
            )
        projected = self.audio_head((means.to(self.device) - self.latent_mean) / self.latent_std)
        return side_by_side(projected.unsqueeze(-2) if self.segments == 1 else projected)

    def embed_text(self, text: TextStates) -> Tensor:
        """Text states of captions (B) to unit vectors (B, P · dim)."""
        text = text.to(self.device)
        projected = self.text_head(self.text_pooling(text.hidden_states.float(), text.mask))  # (B, P · dim)
        return side_by_side(projected.unflatten(-1, (self.segments, -1)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean InfoNCE of a batch, between its captions and its tracks' mean latents, whole or by parts."""
        means = self.means_of(batch)
        text = self.embed_text(batch.text)
        temperature = 1 / self.log_scale.exp().clamp(max=100)
        audio = self.embed_audio(means)
        loss = info_nce(text, audio, temperature, gather_rows, batch.track).mean()
        if self.reverse_weight:
            reverse = against_reverse(text, audio, self.embed_audio(means.flip(1)), temperature)
            loss = loss + self.reverse_weight * reverse.mean()
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def means_of(self, batch: Batch) -> Tensor:
        """The mean latents (B, D) of a batch's tracks, or those of their parts (B, P, D)."""
        latents = batch.latents.float()
        several = self.segments > 1
        return segment_means(latents, self.segments, batch.mask) if several else masked_mean(latents, batch.mask)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing to log: validation is by retrieval alone."""


class NormedPooling(TextPooling):
    """A `TextPooling` whose token states are layer-normed first, with 8 heads where the features allow it."""

    def __init__(self, text_dim: int, features: int):
        super().__init__(text_dim, features, num_heads=math.gcd(features, 8))
        self.norm = nn.LayerNorm(text_dim)

    def forward(self, text: Tensor, text_mask: Tensor) -> Tensor:
        """See `TextPooling.forward`."""
        return super().forward(self.norm(text), text_mask)


def masked_mean(sequences: Tensor, mask: Tensor) -> Tensor:
    """The mean (B, C) of sequences (B, L, C) over what their mask (B, L) keeps."""
    weights = mask.unsqueeze(-1).float()  # (B, L, 1)
    return (sequences * weights).sum(dim=1) / weights.sum(dim=1)


def head(inputs: int, width: int, outputs: int, dropout: float) -> nn.Sequential:
    """A projection head: vectors (N, inputs) to (N, outputs)."""
    return nn.Sequential(
        nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.GELU(), Dropout(dropout), nn.Linear(width, outputs)
    )
