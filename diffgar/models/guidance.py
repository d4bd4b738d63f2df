"""Guidance: a weighted sum of predictions for several texts, as a wrapper around the backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.diffusion import clean_latents, signal_and_sigma

FORMS = ("replace", "compose")


@dataclass(frozen=True)
class Term:
    """A text (B, L, C) with its mask (B, L), and how much its prediction counts."""

    text: Tensor
    mask: Tensor
    weight: float


def guidance_terms(
    caption: tuple[Tensor, Tensor],
    null: tuple[Tensor, Tensor],
    scale: float,
    negatives: Sequence[tuple[Tensor, Tensor, float]] = (),
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
        raise ValueError(f"guidance form {form!r}; choose one of {', '.join(FORMS)}")
    if form == "replace" and len(negatives) > 1:
        raise ValueError(f"the form 'replace' takes one negative, found {len(negatives)}; use 'compose'")
    if form == "replace" and negatives:
        others = [Term(*negatives[0][:2], 1 - scale)]
    else:
        others = [Term(text, mask, -v) for text, mask, v in negatives]
        others.append(Term(*null, 1 - scale + sum(v for *_, v in negatives)))
    return [Term(*caption, scale), *(term for term in others if term.weight != 0)]


class Denoiser:
    """The guided backbone, (noisy_latents (B, T, D), timestep) → prediction (B, T, D): one call for all terms.

    mask (B, T): valid frames. interval: the share of the noise range, (0, 1) being all of it, where guidance acts;
    outside, the caption alone (Kynkäänniemi et al. 2024, arXiv 2404.07724). rescale: how far the guided prediction is
    brought back to the standard deviation of the caption's own (Lin et al. 2024, arXiv 2305.08891, section 3.4).
    parallel: how much is kept of what guidance adds along the caption's own clean latents (Sadat et al. 2024, arXiv
    2410.02416, η); below 1 it needs noise_scheduler, the training schedule.
    """

    def __init__(
        self,
        backbone: nn.Module,
        terms: Sequence[Term],
        mask: Tensor | None = None,
        interval: tuple[float, float] = (0.0, 1.0),
        rescale: float = 0.0,
        parallel: float = 1.0,
        noise_scheduler=None,
    ):
        if parallel != 1 and noise_scheduler is None:
            raise ValueError(f"parallel {parallel} projects on the clean latents; hand noise_scheduler in as well")
        self.backbone, self.terms, self.mask = backbone, terms, mask
        self.rescale, self.parallel, self.noise_scheduler = rescale, parallel, noise_scheduler
        num_timesteps = 1000 if noise_scheduler is None else noise_scheduler.config.num_train_timesteps
        self.first, self.last = (edge * num_timesteps for edge in interval)
        self.text = backbone.prepare_text(*join_texts(terms))
        self.num_calls = 0

    def __call__(self, noisy_latents: Tensor, timestep: int | Tensor) -> Tensor:
        self.num_calls += 1
        size, guided = len(noisy_latents), len(self.terms) > 1 and self.first <= int(timestep) < self.last
        count = len(self.terms) if guided else 1
        timesteps = torch.full((count * size,), int(timestep), device=noisy_latents.device)
        mask = None if self.mask is None else self.mask.repeat(count, 1)
        text = self.text.first(count * size)
        predictions = self.backbone(noisy_latents.repeat(count, 1, 1), timesteps, text, mask=mask)  # (K · B, T, D)
        predictions = predictions.to(noisy_latents.dtype).unflatten(0, (count, size))  # (K, B, T, D)
        return self._combine(predictions, noisy_latents, timesteps[:size]) if guided else predictions[0]

    def _combine(self, predictions: Tensor, noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
        weights = torch.tensor([term.weight for term in self.terms]).to(predictions)
        caption, guided = predictions[0], torch.einsum("k,kbtd->btd", weights, predictions)
        if self.parallel != 1:
            prediction_type = self.noise_scheduler.config.prediction_type
            signal, sigma = (x.to(caption) for x in signal_and_sigma(self.noise_scheduler, timesteps))
            direction = clean_latents(prediction_type, caption, noisy_latents, signal, sigma)
            direction = unit(direction if self.mask is None else direction * self.mask.unsqueeze(-1))
            along = ((guided - caption) * direction).sum(dim=(1, 2), keepdim=True) * direction
            guided = guided - (1 - self.parallel) * along
        if self.rescale:
            ratio = masked_std(caption, self.mask) / masked_std(guided, self.mask)  # (B, 1, 1)
            guided = guided * (1 + self.rescale * (ratio - 1))
        return guided


def join_texts(terms: Sequence[Term]) -> tuple[Tensor, Tensor]:
    """All terms' texts as one batch (K · B, L, C), padded to the longest."""
    length = max(term.text.shape[1] for term in terms)
    texts = [F.pad(term.text, (0, 0, 0, length - term.text.shape[1])) for term in terms]
    masks = [F.pad(term.mask, (0, length - term.mask.shape[1])) for term in terms]
    return torch.cat(texts), torch.cat(masks)


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
