"""Noise levels, and conversions between a prediction, the clean latents and the noise, as pure functions.

Notation of Ho et al. 2020 (arXiv 2006.11239): noisy = signal · latents + sigma · noise, where signal = √ᾱ and
sigma = √(1 − ᾱ); the signal-to-noise ratio is SNR = ᾱ / (1 − ᾱ).
"""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]  # noisy latents (B, T, D) at a timestep, () or (B,) → prediction (B, T, D)
PREDICTION_TYPES = ("sample", "epsilon", "v_prediction")


class NoiseScheduler(Protocol):
    """The part of a diffusers scheduler that training reads.

    alphas_cumprod (num_train_timesteps,): ᾱ of each timestep. config: has `prediction_type` and `num_train_timesteps`.
    """

    config: Any
    alphas_cumprod: Tensor


def signal_and_sigma(noise_scheduler: NoiseScheduler, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """√ᾱ and √(1 − ᾱ) at each timestep (B,), as (B, 1, 1) each."""
    alpha_bar = noise_scheduler.alphas_cumprod.to(timesteps.device)[timesteps].view(-1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def diffusion_target(prediction_type: str, latents: Tensor, noise: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """The target (B, T, D) of a prediction type: the latents, the noise, or v = signal · noise − sigma · latents.

    v is that of Salimans & Ho 2022 (arXiv 2202.00512, section 4).
    """
    if prediction_type == "sample":
        return latents
    if prediction_type == "epsilon":
        return noise
    return signal * noise - sigma * latents


def clean_latents(prediction_type: str, prediction: Tensor, noisy: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """The clean latents (B, T, D) that a prediction (B, T, D) implies: the inverse of `diffusion_target`."""
    if prediction_type == "sample":
        return prediction
    if prediction_type == "epsilon":
        return (noisy - sigma * prediction) / signal
    return signal * noisy - sigma * prediction


def implied_noise(prediction_type: str, prediction: Tensor, noisy: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """The noise (B, T, D) that a prediction (B, T, D) implies."""
    if prediction_type == "sample":
        return (noisy - signal * prediction) / sigma
    if prediction_type == "epsilon":
        return prediction
    return sigma * noisy + signal * prediction
