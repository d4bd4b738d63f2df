"""The training objective: targets, weights, caption dropout. Pure functions, and `Objective` that combines them.

Notation of Ho et al. 2020 (arXiv 2006.11239): noisy = √ᾱ · latents + √(1 − ᾱ) · noise.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PREDICTION_TYPES = ("sample", "epsilon", "v_prediction")


def signal_and_noise(noise_scheduler, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """√ᾱ and √(1 − ᾱ) at each timestep, (B, 1, 1) each."""
    alpha_bar = noise_scheduler.alphas_cumprod.to(timesteps.device)[timesteps].view(-1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def diffusion_target(prediction_type: str, latents: Tensor, noise: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """What the backbone should predict: the latents, the noise, or v (Salimans & Ho 2022, arXiv 2202.00512, eq. 12)."""
    if prediction_type == "sample":
        return latents
    if prediction_type == "epsilon":
        return noise
    return signal * noise - sigma * latents


def clean_latents(prediction_type: str, prediction: Tensor, noisy: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """The latents that a prediction stands for."""
    if prediction_type == "sample":
        return prediction
    if prediction_type == "epsilon":
        return (noisy - sigma * prediction) / signal
    return signal * noisy - sigma * prediction


def loss_weights(
    prediction_type: str, signal: Tensor, sigma: Tensor, min_snr_gamma: float | None
) -> Tensor:
    """Weights (B,) of the squared error; min-SNR-γ of Hang et al. 2023 (arXiv 2303.09556, eq. 8), or ones.

    In terms of the error of the clean latents the weight is min(SNR, γ); each target divides by what it already
    implies: 1 for `sample`, SNR for `epsilon`, SNR + 1 for `v_prediction`.
    """
    if min_snr_gamma is None:
        return torch.ones_like(signal).flatten()
    snr = (signal / sigma.clamp(min=1e-8)).square().flatten()  # (B,)
    implied = {"sample": torch.ones_like(snr), "epsilon": snr, "v_prediction": snr + 1}[prediction_type]
    return snr.clamp(max=min_snr_gamma) / implied.clamp(min=1e-8)


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mean squared error over valid frames, per sample (B,)."""
    error = F.mse_loss(prediction.float(), target.float(), reduction="none").mean(dim=-1)  # (B, T)
    return (error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def drop_captions(text: Tensor, text_mask: Tensor, null_text: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Replace the text (B, L, C) of `dropped` (B,) by the empty caption's states (L', C); ditto the mask."""
    length = max(text.shape[1], len(null_text))
    text = F.pad(text, (0, 0, 0, length - text.shape[1]))
    text_mask = F.pad(text_mask, (0, length - text_mask.shape[1]))
    null = F.pad(null_text, (0, 0, 0, length - len(null_text))).to(text)
    null_mask = torch.arange(length, device=text.device) < len(null_text)
    return (
        torch.where(dropped[:, None, None], null, text),
        torch.where(dropped[:, None], null_mask, text_mask),
    )


def nt_xent(prediction: Tensor, latents: Tensor, mask: Tensor, temperature: float = 0.1) -> Tensor:
    """NT-Xent between time means of predicted and true latents, per sample (B,) (Chen et al. 2020, arXiv 2002.05709).

    Each prediction must find its own track's mean among the batch's.
    """

    def mean(frames):
        return F.normalize((frames.float() * mask.unsqueeze(-1)).sum(dim=1), dim=-1)  # (B, D)

    logits = mean(prediction) @ mean(latents).T / temperature  # (B, B)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="none")


@dataclass(frozen=True)
class Objective:
    """How a backbone is trained.

    caption_dropout: probability of training on the empty caption, for classifier-free guidance (Ho & Salimans 2022,
    arXiv 2207.12598). min_snr_gamma: 5 is usual, None weighs all noise levels alike. contrastive_weight: of NT-Xent.
    """

    prediction_type: str = "sample"
    caption_dropout: float = 0.1
    min_snr_gamma: float | None = None
    contrastive_weight: float = 0.0
    contrastive_temperature: float = 0.1

    def __post_init__(self):
        if self.prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"prediction_type {self.prediction_type!r}; choose one of {', '.join(PREDICTION_TYPES)}")

    def losses(
        self, backbone: nn.Module, noise_scheduler, latents: Tensor, noise: Tensor, timesteps: Tensor, text, mask: Tensor
    ) -> dict[str, Tensor]:
        """Per-sample losses (B,): "loss", and its parts where there are several.

        latents, noise (B, T, D); timesteps (B,); text: (states (B, L, C), mask (B, L)); mask (B, T) of valid frames.
        """
        signal, sigma = signal_and_noise(noise_scheduler, timesteps)
        noisy_latents = signal * latents + sigma * noise
        prediction = backbone(noisy_latents, timesteps, *text, mask)
        target = diffusion_target(self.prediction_type, latents, noise, signal, sigma)
        weights = loss_weights(self.prediction_type, signal, sigma, self.min_snr_gamma)
        error = weights * masked_mse(prediction, target, mask)
        if not self.contrastive_weight:
            return {"loss": error}
        predicted = clean_latents(self.prediction_type, prediction, noisy_latents, signal, sigma)
        contrast = nt_xent(predicted, latents, mask, self.contrastive_temperature)
        return {"loss": error + self.contrastive_weight * contrast, "mse": error, "contrastive": contrast}


def check_schedule(noise_scheduler) -> None:
    """Refuse epsilon prediction with a schedule that ends in pure noise: there it says nothing of the latents."""
    if noise_scheduler.config.prediction_type == "epsilon" and noise_scheduler.alphas_cumprod[-1] < 1e-6:
        raise ValueError(
            "epsilon prediction with zero-terminal SNR divides by zero at the first step (Lin et al. 2024, "
            "arXiv 2305.08891); use objective=v_prediction or objective=sample, or noise_scheduler=scaled_linear"
        )
