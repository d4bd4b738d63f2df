"""The training objective: targets, weights, caption dropout. Pure functions, and `Objective` that combines them.

Notation of Ho et al. 2020 (arXiv 2006.11239): noisy = signal · latents + sigma · noise, where signal = √ᾱ and
sigma = √(1 − ᾱ); the signal-to-noise ratio is SNR = ᾱ / (1 − ᾱ).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.errors import InputError
from diffgar.models.contrastive import alone, info_nce, nt_xent
from diffgar.models.encoders.base import pool
from diffgar.values import number

PREDICTION_TYPES = ("sample", "epsilon", "v_prediction")
CONTRASTIVE_LOSSES = {"nt_xent": nt_xent, "info_nce": info_nce}


def signal_and_sigma(noise_scheduler, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """√ᾱ and √(1 − ᾱ) at each timestep (B,), as (B, 1, 1) each."""
    alpha_bar = noise_scheduler.alphas_cumprod.to(timesteps.device)[timesteps].view(-1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def diffusion_target(prediction_type: str, latents: Tensor, noise: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """What the backbone is to predict: the latents, the noise, or v = signal · noise − sigma · latents.

    v of Salimans & Ho 2022 (arXiv 2202.00512, section 4).
    """
    if prediction_type == "sample":
        return latents
    if prediction_type == "epsilon":
        return noise
    return signal * noise - sigma * latents


def clean_latents(prediction_type: str, prediction: Tensor, noisy: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """The latents that a prediction stands for: `diffusion_target` undone."""
    if prediction_type == "sample":
        return prediction
    if prediction_type == "epsilon":
        return (noisy - sigma * prediction) / signal
    return signal * noisy - sigma * prediction


def implied_noise(prediction_type: str, prediction: Tensor, noisy: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """The noise that a prediction stands for."""
    if prediction_type == "sample":
        return (noisy - signal * prediction) / sigma
    if prediction_type == "epsilon":
        return prediction
    return sigma * noisy + signal * prediction


def loss_weights(
    prediction_type: str, signal: Tensor, sigma: Tensor, min_snr_gamma: float | None = None, p2_gamma: float = 0.0
) -> Tensor:
    """Weights (B,) of the prediction's squared error; ones unless asked otherwise.

    min_snr_gamma: min-SNR-γ of Hang et al. 2023 (arXiv 2303.09556, section 3.4): the error of the clean latents then
    weighs min(SNR, γ), so the prediction's own error weighs that over 1 for `sample`, over SNR for `epsilon`, over
    SNR + 1 for `v_prediction`. p2_gamma: times (1 + SNR)^−γ, towards high noise, where a caption decides most (Choi
    et al. 2022, arXiv 2204.00227, eq. 8 with k = 1).
    """
    snr = (signal / sigma).square().flatten()  # (B,)
    weights = (1 + snr) ** -p2_gamma
    if min_snr_gamma is None:
        return weights
    if prediction_type == "epsilon":
        return weights * (min_snr_gamma / snr).clamp(max=1)
    capped = snr.clamp(max=min_snr_gamma)
    return weights * (capped if prediction_type == "sample" else capped / (snr + 1))


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean squared error (B,) of each sample over its valid frames, in float32."""
    error = (prediction.float() - target.float()).square().mean(dim=-1)  # (B, T)
    return error.mean(dim=1) if mask is None else (error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def drop_captions(text: Tensor, text_mask: Tensor, null_text: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Text (B, L, C) and its mask, with the empty caption's states (L', C) where `dropped` (B,) says so.

    Training on the empty caption is what guidance needs (Ho & Salimans 2022, arXiv 2207.12598, algorithm 1).
    """
    length = max(text.shape[1], len(null_text))
    text = F.pad(text, (0, 0, 0, length - text.shape[1]))  # (B, max(L, L'), C)
    text_mask = F.pad(text_mask, (0, length - text_mask.shape[1]))
    null = F.pad(null_text, (0, 0, 0, length - len(null_text))).to(text)
    null_mask = torch.arange(length, device=text.device) < len(null_text)
    return (
        torch.where(dropped[:, None, None], null, text),
        torch.where(dropped[:, None], null_mask, text_mask),
    )


@dataclass(frozen=True)
class Objective:
    """How a backbone is trained.

    prediction_type: that of the noise scheduler. caption_dropout: the probability of training on the empty caption.
    min_snr_gamma (5 is usual), p2_gamma: see `loss_weights`. contrastive_weight: of the contrastive term between the
    time means of predicted and true latents. contrastive_loss: `nt_xent` of the normalised latents, or `info_nce` of
    the latents in the encoder's own scale about the model's centre, as retrieval ranks them.
    """

    prediction_type: str = "sample"
    caption_dropout: float = 0.1
    min_snr_gamma: float | None = None
    p2_gamma: float = 0.0
    contrastive_weight: float = 0.0
    contrastive_temperature: float = 0.1
    contrastive_loss: str = "nt_xent"

    def __post_init__(self):
        for name, choices in (("prediction_type", PREDICTION_TYPES), ("contrastive_loss", CONTRASTIVE_LOSSES)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        number("caption_dropout", self.caption_dropout, 0, 1)
        number("p2_gamma", self.p2_gamma)
        number("contrastive_weight", self.contrastive_weight, 0)
        number("contrastive_temperature", self.contrastive_temperature, 1e-6)
        if self.min_snr_gamma is not None:
            number("min_snr_gamma", self.min_snr_gamma, 1e-6)

    def errors(
        self,
        backbone: nn.Module,
        noise_scheduler,
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        text: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The weighted squared error (B,) of each sample, and the clean latents (B, T, D) that it was predicted to be.

        latents, noise (B, T, D); timesteps (B,); text: states (B, L, C) and their mask; mask (B, T) of valid frames.
        """
        signal, sigma = signal_and_sigma(noise_scheduler, timesteps)
        noisy_latents = signal * latents + sigma * noise
        prediction = backbone(noisy_latents, timesteps, *text, mask)
        target = diffusion_target(self.prediction_type, latents, noise, signal, sigma)
        weights = loss_weights(self.prediction_type, signal, sigma, self.min_snr_gamma, self.p2_gamma)
        error = weights * masked_mse(prediction, target, mask)
        return error, clean_latents(self.prediction_type, prediction, noisy_latents, signal, sigma)

    def losses(
        self,
        error: Tensor,
        predicted: Tensor,
        latents: Tensor,
        mask: Tensor | None,
        as_ranked: Callable,
        gather: Callable = alone,
        groups: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses (B,) of each sample: "loss" and, with a contrastive term, its parts "mse" and "contrastive".

        error (B,); predicted clean latents and latents (B, T, D), normalised; as_ranked: such latents to what
        retrieval compares; gather, groups (B,): see `contrastive.py`.
        """
        if not self.contrastive_weight:
            return {"loss": error}
        views = predicted.float(), latents.float()
        if self.contrastive_loss == "info_nce":
            views = map(as_ranked, views)
        query, index = (pool(view, mask) for view in views)  # (B, D)
        loss = CONTRASTIVE_LOSSES[self.contrastive_loss]
        contrastive = loss(query, index, self.contrastive_temperature, gather, groups)
        return {"loss": error + self.contrastive_weight * contrastive, "mse": error, "contrastive": contrastive}


def check_schedule(noise_scheduler) -> None:
    """Refuse schedules with which a perfect prediction would not step back to the clean latents."""
    config = noise_scheduler.config
    if config.prediction_type == "epsilon" and noise_scheduler.alphas_cumprod[-1] < 1e-6:
        raise InputError(
            "epsilon prediction with (nearly) zero-terminal SNR divides by zero at the first step (Lin et al. 2024, "
            "arXiv 2305.08891); use objective=v_prediction or objective=sample, or noise_scheduler=scaled_linear"
        )
    if config.get("clip_sample") or config.get("thresholding"):
        raise InputError(
            f"{type(noise_scheduler).__name__} clips predictions, as if latents were pixels; "
            "set clip_sample: false and thresholding: false"
        )
    if config.get("set_alpha_to_one", True) is False:
        raise InputError("set_alpha_to_one: false leaves noise in the last step's latents; set it to true")
