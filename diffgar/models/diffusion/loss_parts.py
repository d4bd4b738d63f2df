"""The parts of the loss that differ from model to model, and what is drawn at random for it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.batch import Batch
from diffgar.models.diffusion.formulas import NoiseScheduler, diffusion_target, signal_and_sigma
from diffgar.text_states import TextStates


@dataclass(frozen=True, eq=False)
class Draws:
    """What is drawn at random for a batch: noise (B, T, D), timesteps (B,), dropped (B,) bool: captions left out."""

    noise: Tensor
    timesteps: Tensor
    dropped: Tensor


@dataclass(frozen=True, eq=False)
class Noisy:
    """What the backbone sees: latents (B, T, D), timesteps (B,), and their level: signal and sigma, (B, 1, 1) each."""

    latents: Tensor
    timesteps: Tensor
    level: tuple[Tensor, Tensor]


class LossParts:
    """What a model may change of `Objective.loss`: each part by overriding the method of its name.

    Here the parts are those of denoising; weights, masks and the contrastive loss itself are the objective's, for all
    models alike. on_clean: whether the squared error is of the clean latents, whatever the backbone predicts.
    """

    on_clean = False

    def text(self, batch: Batch, draws: Draws) -> TextStates:
        """The captions that the backbone is conditioned on, (B): the batch's own, or some of them dropped."""
        return batch.text

    def noisy(self, noise_scheduler: NoiseScheduler, batch: Batch, draws: Draws) -> Noisy:
        """What the backbone predicts from: the latents with noise, at the drawn timesteps."""
        signal, sigma = signal_and_sigma(noise_scheduler, draws.timesteps)
        return Noisy(signal * batch.latents + sigma * draws.noise, draws.timesteps, (signal, sigma))

    def target(self, prediction_type: str, batch: Batch, draws: Draws, noisy: Noisy, text: TextStates) -> Tensor:
        """What the backbone is to predict, (B, T, D), in the form of `prediction_type`.

        That is the form that the error is taken in: the objective's own, or `sample` where `on_clean` says so. text:
        the captions that it is conditioned on.
        """
        return diffusion_target(prediction_type, batch.latents, draws.noise, *noisy.level)

    def ranked(self, clean: Tensor, batch: Batch, draws: Draws) -> Tensor | None:
        """The normalised latents (B, T, D) that are to find their track; None leaves the contrastive term out.

        clean (B, T, D): what the prediction says the latents are.
        """
        return clean

    def as_ranked(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, T, D) to those whose time means retrieval compares."""
        return latents


def drop_captions(text: TextStates, null_text: Tensor, dropped: Tensor) -> TextStates:
    """The captions, with the empty one's token states (L', C) where `dropped` (B,) says so.

    Training on the empty caption is what guidance needs (Ho & Salimans 2022, arXiv 2207.12598, algorithm 1).
    """
    length = max(text.mask.shape[1], len(null_text))
    text = text.padded_to(length)  # (B, max(L, L'), C)
    null = F.pad(null_text, (0, 0, 0, length - len(null_text))).to(text.hidden_states)
    null_mask = torch.arange(length, device=null.device) < len(null_text)
    return TextStates(
        torch.where(dropped[:, None, None], null, text.hidden_states),
        torch.where(dropped[:, None], null_mask, text.mask),
    )
