"""The parts of the loss that differ between models, and the random draws for it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.batch import Batch
from diffgar.models.diffusion.formulas import NoiseScheduler, diffusion_target, signal_and_sigma
from diffgar.text_states import TextStates


@dataclass(frozen=True, eq=False)
class Draws:
    """The random draws for a batch: noise (B, T, D), timesteps (B,), and dropped (B,) bool: the captions to drop."""

    noise: Tensor
    timesteps: Tensor
    dropped: Tensor


@dataclass(frozen=True, eq=False)
class Noisy:
    """The backbone's input: noisy latents (B, T, D), timesteps (B,), and their level: signal and sigma (B, 1, 1)."""

    latents: Tensor
    timesteps: Tensor
    level: tuple[Tensor, Tensor]


class LossParts:
    """The steps of `Objective.loss` that a model may override; the defaults are those of denoising.

    Weights, masks and the contrastive loss itself belong to the objective and are the same for all models. on_clean:
    whether the squared error compares the clean latents, whatever the backbone predicts.
    """

    on_clean = False

    def text(self, batch: Batch, draws: Draws) -> TextStates:
        """The captions (B) that the backbone is conditioned on; here none is dropped."""
        return batch.text

    def noisy(self, noise_scheduler: NoiseScheduler, batch: Batch, draws: Draws) -> Noisy:
        """The backbone's input: the batch's latents with the drawn noise, at the drawn timesteps."""
        signal, sigma = signal_and_sigma(noise_scheduler, draws.timesteps)
        return Noisy(signal * batch.latents + sigma * draws.noise, draws.timesteps, (signal, sigma))

    def target(self, prediction_type: str, batch: Batch, draws: Draws, noisy: Noisy, text: TextStates) -> Tensor:
        """The target (B, T, D) of the squared error.

        prediction_type: what the squared error compares: the objective's prediction type, or `sample` if `on_clean`.
        text: the captions that the backbone is conditioned on.
        """
        return diffusion_target(prediction_type, batch.latents, draws.noise, *noisy.level)

    def ranked(self, clean: Tensor, batch: Batch, draws: Draws) -> Tensor | None:
        """The normalised latents (B, T, D) that the contrastive term compares with the true ones.

        clean (B, T, D): the clean latents that the prediction implies. None leaves the contrastive term out.
        """
        return clean

    def as_ranked(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, T, D) in the form in which retrieval compares their time means."""
        return latents


def drop_captions(text: TextStates, null_text: Tensor, dropped: Tensor) -> TextStates:
    """Replaces the captions where `dropped` (B,) is True by the empty one, whose token states are null_text (L', C).

    Guidance needs a model that was also trained on the empty caption (Ho & Salimans 2022, arXiv 2207.12598,
    algorithm 1).
    """
    length = max(text.mask.shape[1], len(null_text))
    text = text.padded_to(length)  # (B, max(L, L'), C)
    null = F.pad(null_text, (0, 0, 0, length - len(null_text))).to(text.hidden_states)
    null_mask = torch.arange(length, device=null.device) < len(null_text)
    return TextStates(
        torch.where(dropped[:, None, None], null, text.hidden_states),
        torch.where(dropped[:, None], null_mask, text.mask),
    )
