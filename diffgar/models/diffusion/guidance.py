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
Negative = tuple[TextStates, float]  # captions to be avoided, one a sample, and how much


@dataclass(frozen=True)
class Term:
    """Captions (B), and how much their predictions count."""

    text: TextStates
    weight: float


def guidance_terms(
    caption: TextStates,
    null: TextStates,
    scale: float,
    negatives: Sequence[Negative] = (),
    form: str = "compose",
) -> list[Term]:
    """The weighted sum of predictions that a caption and its negatives ask for; the caption comes first.

    No negative:  null + w · (caption − null), classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).
    `replace`:    negative + w · (caption − negative), the published form, with one negative.
    `compose`:    null + w · (caption − null) − Σ v · (negative − null) (Liu et al. 2022, arXiv 2206.01714), any
                  number of negatives with their v; a v below zero adds a further caption.
    Terms that weigh nothing are left out, so that a scale of 1 without negatives is the caption alone.
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
    """How strongly a caption is followed, where and in what form; the same in sampling and in training.

    guidance_scale: w of `guidance_terms`, 1 is none. interval: the share of the noise range, (0, 1) being all of it,
    where guidance acts; outside, the caption alone (Kynkäänniemi et al. 2024, arXiv 2404.07724). rescale: how far the
    guided prediction is brought back to the standard deviation of the caption's own (Lin et al. 2024, arXiv 2305.08891,
    section 3.4). parallel: how much is kept of what guidance adds along the caption's own clean latents (Sadat et al.
    2024, arXiv 2410.02416, η).
    """

    guidance_scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0
    parallel: float = 1.0

    def __post_init__(self):
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

    timestep: of all samples, or one of its own for each, (B,). noise_scheduler: the training schedule. guidance: its
    interval, rescale and parallel count, the terms have its scale in them. mask (B, T): valid frames.
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
        if isinstance(timestep, Tensor) and timestep.dim():  # decided a sample at a time, without asking the device
            timesteps, some, every = timestep, self.count > 1, self.guidance.interval == (0, 1)
        else:
            timesteps = torch.full((size,), int(timestep), device=device)
            some = every = self.count > 1 and bool(self._acts_at(int(timestep)))
        predictions = self._predict(noisy_latents, timesteps, self.count if some else 1)  # (K, B, T, D)
        if not some:
            return predictions[0]
        guided = self._combine(predictions, noisy_latents, timesteps)
        return guided if every else torch.where(self._acts_at(timesteps)[:, None, None], guided, predictions[0])

    def _acts_at(self, timestep):
        """Whether guidance acts there; for timesteps (B,) a bool for each."""
        first, last = (edge * self.noise_scheduler.config.num_train_timesteps for edge in self.guidance.interval)
        return (timestep >= first) & (timestep < last)

    def _predict(self, noisy_latents: Tensor, timesteps: Tensor, count: int) -> Tensor:
        """The predictions (count, B, T, D) of the first `count` terms."""
        mask = None if self.mask is None else self.mask.repeat(count, 1)
        text = self.text.first(count * len(noisy_latents))
        predictions = self.backbone(noisy_latents.repeat(count, 1, 1), timesteps.repeat(count), text, mask=mask)
        return predictions.to(noisy_latents.dtype).unflatten(0, (count, -1))

    def _combine(self, predictions: Tensor, noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
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
    """Each sample (T, D) of the batch, as one vector of length 1."""
    return F.normalize(frames.flatten(1), dim=1).view_as(frames)


def masked_std(frames: Tensor, mask: Tensor | None) -> Tensor:
    """The standard deviation (B, 1, 1) over valid frames and dimensions."""
    if mask is None:
        return frames.std(dim=(1, 2), correction=0, keepdim=True)
    valid, count = mask.unsqueeze(-1), mask.sum(dim=1).view(-1, 1, 1) * frames.shape[2]
    mean = (frames * valid).sum(dim=(1, 2), keepdim=True) / count
    return (((frames - mean) * valid).square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
