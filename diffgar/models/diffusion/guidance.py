"""Guidance: a weighted sum of predictions for several texts, as a wrapper around the backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.errors import InputError
from diffgar.models.backbones.base import Backbone
from diffgar.models.diffusion.formulas import NoiseScheduler, clean_latents, signal_and_sigma
from diffgar.text_states import TextStates, joined
from diffgar.values import is_number, number

FORMS = ("replace", "compose")
Negative = tuple[TextStates, float]  # captions to be avoided, one per sample, and their weight


@dataclass(frozen=True)
class Term:
    """Captions (B), and the weight of the predictions for them."""

    text: TextStates
    weight: float


def guidance_terms(
    caption: TextStates,
    null: TextStates,
    scale: float,
    negatives: Sequence[Negative] = (),
    form: str = "compose",
) -> list[Term]:
    """The terms of the guided prediction, a weighted sum of predictions; the caption's term comes first.

    No negative:  null + w · (caption − null), classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).
    `replace`:    negative + w · (caption − negative), the published form, with one negative.
    `compose`:    null + w · (caption − null) − Σ v · (negative − null) (Liu et al. 2022, arXiv 2206.01714), any
                  number of negatives with their v; a v below zero adds a further caption.
    Terms of weight 0 are left out, so that a scale of 1 without negatives is the caption alone.
    """
    if form not in FORMS:
        raise InputError(f"guidance form {form!r}; choose one of {', '.join(FORMS)}")
    if form == "replace" and len(negatives) > 1:
        raise InputError(f"the form 'replace' takes one negative, found {len(negatives)}; use 'compose'")
    if form == "replace" and negatives:
        others = [Term(negatives[0][0], 1 - scale)]
    else:
        others = [Term(text, -v) for text, v in negatives]
        others.append(Term(null, 1 - scale + sum(v for _, v in negatives)))
    return [Term(caption, scale), *(term for term in others if term.weight != 0)]


@dataclass(frozen=True)
class Guidance:
    """The settings of guidance, in sampling and in training alike.

    guidance_scale: w of `guidance_terms`; 1 is no guidance.
    interval: the share of the noise range where guidance acts, (0, 1) being all of it; elsewhere the prediction is that
    of the caption alone (Kynkäänniemi et al. 2024, arXiv 2404.07724).
    rescale: φ of Lin et al. 2024 (arXiv 2305.08891, section 3.4), from 0 (the guided prediction as it is) to 1 (with
    the standard deviation of the caption's prediction).
    parallel: η of Sadat et al. 2024 (arXiv 2410.02416), the factor of the part of the guidance that is parallel to the
    clean latents predicted for the caption.
    Raises InputError for values that are no numbers or out of range.
    """

    guidance_scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0
    parallel: float = 1.0

    def __post_init__(self) -> None:
        for name in ("guidance_scale", "rescale", "parallel"):
            number(name, getattr(self, name))
        try:
            first, last = self.interval
            right = is_number(first) and is_number(last) and 0 <= first <= last <= 1
        except (TypeError, ValueError):  # no pair
            right = False
        if not right:
            raise InputError(
                f"interval {self.interval!r} is no share of the noise range; give two numbers from 0 to 1, the lower "
                "first, such as sampler.interval=[0.3,0.9]"
            )
        object.__setattr__(self, "interval", (float(first), float(last)))

    def denoiser(
        self,
        backbone: Backbone,
        noise_scheduler: NoiseScheduler,
        caption: TextStates,
        null: TextStates,
        negatives: Sequence[Negative] = (),
        form: str = "compose",
        mask: Tensor | None = None,
    ) -> "Denoiser":
        """The backbone under this guidance; caption, null, negatives, form: see `guidance_terms`."""
        terms = guidance_terms(caption, null, self.guidance_scale, negatives, form)
        return Denoiser(backbone, noise_scheduler, terms, self, mask)


class Denoiser:
    """The guided backbone, (noisy_latents (B, T, D), timestep) → prediction (B, T, D): one call for all terms.

    timestep: one for all samples, or one per sample, (B,). noise_scheduler: the training schedule. terms: include the
    guidance scale, so that only interval, rescale and parallel are read from `guidance`. mask (B, T): True at valid
    frames. num_calls: counts its calls.
    """

    def __init__(
        self,
        backbone: Backbone,
        noise_scheduler: NoiseScheduler,
        terms: Sequence[Term],
        guidance: Guidance = Guidance(),  # noqa: B008 (frozen)
        mask: Tensor | None = None,
    ):
        self.backbone, self.noise_scheduler, self.guidance, self.mask = backbone, noise_scheduler, guidance, mask
        text = joined([term.text for term in terms])  # (K · B)
        self.text, self.count = backbone.prepare_text(text), len(terms)
        self.weights = torch.tensor([term.weight for term in terms], device=text.mask.device)
        self.num_calls = 0

    def __call__(self, noisy_latents: Tensor, timestep: int | Tensor) -> Tensor:
        self.num_calls += 1
        size, device = len(noisy_latents), noisy_latents.device
        first, last = (edge * self.noise_scheduler.config.num_train_timesteps for edge in self.guidance.interval)
        if isinstance(timestep, Tensor) and timestep.dim():  # decided per sample, without waiting for the device
            timesteps, some, every = timestep, self.count > 1, self.guidance.interval == (0, 1)
        else:
            timesteps = torch.full((size,), int(timestep), device=device)
            some = every = self.count > 1 and first <= int(timestep) < last
        predictions = self._predict(noisy_latents, timesteps, self.count if some else 1)  # (K, B, T, D)
        if not some:
            return predictions[0]
        guided = self._combine(predictions, noisy_latents, timesteps)
        if every:
            return guided
        acts = (timesteps >= first) & (timesteps < last)  # (B,)
        return torch.where(acts[:, None, None], guided, predictions[0])

    def _predict(self, noisy_latents: Tensor, timesteps: Tensor, count: int) -> Tensor:
        """The predictions (count, B, T, D) of the first `count` terms."""
        mask = None if self.mask is None else self.mask.repeat(count, 1)
        text = self.text.first(count * len(noisy_latents))
        predictions = self.backbone(noisy_latents.repeat(count, 1, 1), timesteps.repeat(count), text, mask=mask)
        return predictions.to(noisy_latents.dtype).unflatten(0, (count, -1))

    def _combine(self, predictions: Tensor, noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
        """The guided prediction (B, T, D) from the predictions (K, B, T, D) of all terms."""
        caption, guided = predictions[0], torch.einsum("k,kbtd->btd", self.weights.to(predictions), predictions)
        if self.guidance.parallel != 1:
            prediction_type = self.noise_scheduler.config.prediction_type
            signal, sigma = (x.to(caption) for x in signal_and_sigma(self.noise_scheduler, timesteps))
            direction = clean_latents(prediction_type, caption, noisy_latents, signal, sigma)
            direction = unit(direction if self.mask is None else direction * self.mask.unsqueeze(-1))
            along = ((guided - caption) * direction).sum(dim=(1, 2), keepdim=True) * direction
            guided = guided - (1 - self.guidance.parallel) * along
        if self.guidance.rescale:
            ratio = masked_std(caption, self.mask) / masked_std(guided, self.mask)  # (B, 1, 1)
            guided = guided * (1 + self.guidance.rescale * (ratio - 1))
        return guided


def unit(frames: Tensor) -> Tensor:
    """Frames (B, T, D), each sample scaled to length 1 as one vector of T · D numbers."""
    return F.normalize(frames.flatten(1), dim=1).view_as(frames)


def masked_std(frames: Tensor, mask: Tensor | None) -> Tensor:
    """The standard deviation (B, 1, 1) over valid frames and dimensions."""
    if mask is None:
        return frames.std(dim=(1, 2), correction=0, keepdim=True)
    valid, count = mask.unsqueeze(-1), mask.sum(dim=1).view(-1, 1, 1) * frames.shape[2]
    mean = (frames * valid).sum(dim=(1, 2), keepdim=True) / count
    return (((frames - mean) * valid).square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
