"""Differentiable DDIM steps, each sample from its own timestep.

Notation of `formulas.py`; a level is (signal, sigma), and the clean end is (1, 0).
"""

from torch import Tensor

from diffgar.models.diffusion.formulas import Denoise, NoiseScheduler, clean_latents, implied_noise, signal_and_sigma

Level = tuple[Tensor, Tensor]  # signal and sigma, (B, 1, 1) each


def level_at(noise_scheduler: NoiseScheduler, timesteps: Tensor) -> Level:
    """The level of each timestep (B,). A timestep below 0 is the clean end, where DDIM's last step leads."""
    signal, sigma = signal_and_sigma(noise_scheduler, timesteps.clamp(min=0))
    clean = (timesteps < 0).view(-1, 1, 1)
    return signal.masked_fill(clean, 1.0), sigma.masked_fill(clean, 0.0)


def ddim_steps(
    denoise: Denoise,
    noise_scheduler: NoiseScheduler,
    noisy_latents: Tensor,
    timesteps: Tensor,
    stride: int,
    num_steps: int,
) -> Tensor:
    """The latents (B, T, D) after `num_steps` DDIM steps of `stride` timesteps, each sample from its own timestep (B,).

    Song et al. 2021 (arXiv 2010.02502, eq. 12 without noise).
    """
    prediction_type, latents = noise_scheduler.config.prediction_type, noisy_latents
    for done in range(num_steps):
        now = timesteps - done * stride
        level, (signal_below, sigma_below) = (level_at(noise_scheduler, t) for t in (now, now - stride))
        prediction = denoise(latents, now)
        clean = clean_latents(prediction_type, prediction, latents, *level)
        latents = signal_below * clean + sigma_below * implied_noise(prediction_type, prediction, latents, *level)
    return latents
