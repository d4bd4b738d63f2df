"""DDIM steps that gradients go through, each sample from a timestep of its own.

Notation of `formulas.py`; a level is (signal, sigma), and the clean end is (1, 0).
"""

from collections.abc import Callable

from torch import Tensor

from diffgar.models.diffusion.formulas import NoiseScheduler, clean_latents, implied_noise, signal_and_sigma

Level = tuple[Tensor, Tensor]  # signal and sigma, (B, 1, 1) each
Predict = Callable[[Tensor, Tensor], Tensor]  # noisy latents (B, T, D) and timesteps (B,) → prediction (B, T, D)


def level_at(noise_scheduler: NoiseScheduler, timesteps: Tensor) -> Level:
    """The level of each timestep (B,); below 0 is the clean end, as DDIM's last step has it."""
    signal, sigma = signal_and_sigma(noise_scheduler, timesteps.clamp(min=0))
    clean = (timesteps < 0).view(-1, 1, 1)
    return signal.masked_fill(clean, 1.0), sigma.masked_fill(clean, 0.0)


def ddim_steps(
    predict: Predict,
    noise_scheduler: NoiseScheduler,
    noisy_latents: Tensor,
    timesteps: Tensor,
    stride: int,
    num_steps: int,
) -> Tensor:
    """The latents (B, T, D) after `num_steps` DDIM steps of `stride` timesteps (Song et al. 2021, arXiv 2010.02502,
    eq. 12 without noise), each sample from its own of `timesteps` (B,)."""
    prediction_type, latents = noise_scheduler.config.prediction_type, noisy_latents
    for done in range(num_steps):
        now = timesteps - done * stride
        level, (signal_below, sigma_below) = (level_at(noise_scheduler, t) for t in (now, now - stride))
        prediction = predict(latents, now)
        clean = clean_latents(prediction_type, prediction, latents, *level)
        latents = signal_below * clean + sigma_below * implied_noise(prediction_type, prediction, latents, *level)
    return latents
