"""From noise to latents: guidance as a wrapper around the backbone, sampling as a plain loop over a solver.

A solver is a fresh diffusers scheduler. Everything here is in the normalised space the backbone was trained in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    """
    if form not in FORMS:
        raise ValueError(f"guidance form {form!r}; choose one of {', '.join(FORMS)}")
    if form == "replace" and negatives:
        if len(negatives) > 1:
            raise ValueError(f"the form 'replace' takes one negative, found {len(negatives)}; use 'compose'")
        return [Term(*caption, scale), Term(*negatives[0][:2], 1 - scale)]
    rest = 1 - scale + sum(v for *_, v in negatives)
    terms = [Term(*caption, scale), *(Term(text, mask, -v) for text, mask, v in negatives), Term(*null, rest)]
    return [terms[0], *(term for term in terms[1:] if term.weight != 0)]


class Denoiser:
    """The guided backbone, (noisy_latents (B, T, D), timestep) → prediction (B, T, D): one call for all terms.

    Text is prepared once. interval: the share of the noise range, (0, 1) being all of it, where guidance acts;
    outside, the caption alone (Kynkäänniemi et al. 2024, arXiv 2404.07724). rescale: how far the guided prediction
    is brought back to the caption's own standard deviation (Lin et al. 2024, arXiv 2305.08891, section 3.4).
    """

    def __init__(
        self,
        backbone: nn.Module,
        terms: Sequence[Term],
        mask: Tensor | None = None,
        interval: tuple[float, float] = (0.0, 1.0),
        rescale: float = 0.0,
        num_train_timesteps: int = 1000,
    ):
        self.backbone, self.mask, self.rescale = backbone, mask, rescale
        self.first, self.last = (edge * num_train_timesteps for edge in interval)
        self.weights = [term.weight for term in terms]
        self.caption = backbone.prepare_text(terms[0].text, terms[0].mask)
        self.all = self.caption if len(terms) == 1 else backbone.prepare_text(*join_texts(terms))
        self.num_calls = 0

    def __call__(self, noisy_latents: Tensor, timestep: int | Tensor) -> Tensor:
        self.num_calls += 1
        timesteps = torch.full((len(noisy_latents),), int(timestep), device=noisy_latents.device)
        num_terms = len(self.weights)
        if num_terms == 1 or not self.first <= int(timestep) < self.last:
            return self.backbone(noisy_latents, timesteps, self.caption, mask=self.mask)
        mask = None if self.mask is None else self.mask.repeat(num_terms, 1)
        repeated = noisy_latents.repeat(num_terms, 1, 1)  # (K * B, T, D)
        predictions = self.backbone(repeated, timesteps.repeat(num_terms), self.all, mask=mask).chunk(num_terms)
        guided = sum(weight * prediction for weight, prediction in zip(self.weights, predictions, strict=True))
        if self.rescale:
            std = predictions[0].std(dim=(1, 2), keepdim=True) / guided.std(dim=(1, 2), keepdim=True)
            guided = guided * (1 + self.rescale * (std - 1))
        return guided


def join_texts(terms: Sequence[Term]) -> tuple[Tensor, Tensor]:
    """All terms' texts as one batch (K * B, L, C), padded to the longest."""
    length = max(term.text.shape[1] for term in terms)
    texts = [F.pad(term.text, (0, 0, 0, length - term.text.shape[1])) for term in terms]
    masks = [F.pad(term.mask, (0, length - term.mask.shape[1])) for term in terms]
    return torch.cat(texts), torch.cat(masks)


def draw_noise(generators: Sequence[torch.Generator], num_frames: int, dim: int, device) -> Tensor:
    """Unit noise (B, T, D), a sample from each generator, so that a sample is the same in any batch."""
    noise = [torch.randn(num_frames, dim, generator=g, device=g.device) for g in generators]
    return torch.stack(noise).to(device)


def sample(
    denoise: Callable[[Tensor, Tensor], Tensor],
    solver,
    latents: Tensor,
    timesteps: Sequence[int] | Tensor,
    generators: Sequence[torch.Generator] | None = None,
) -> Tensor:
    """Run a solver from noisy `latents` (B, T, D) at timesteps[0] through all `timesteps` to clean ones.

    solver: a diffusers scheduler whose `set_timesteps` was called. generators: for solvers that add noise.
    """
    noisy = {"generator": list(generators)} if generators and adds_noise(solver) else {}
    for timestep in timesteps:
        latents = solver.step(denoise(latents, timestep), timestep, latents, **noisy).prev_sample
    return latents


def adds_noise(solver) -> bool:
    return "generator" in solver.step.__code__.co_varnames


@dataclass(frozen=True)
class Sampler:
    """How queries are sampled; `describe` is what a result's protocol says of it.

    solver: makes a diffusers scheduler of the training schedule's config. num_samples a caption.
    batch_size: samples in one pass, which changes nothing but the memory.
    """

    solver: Callable
    num_steps: int = 50
    num_samples: int = 1
    guidance_scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0
    batch_size: int = 256
    negatives: tuple = field(default=())

    def start(self, noise_scheduler):
        """A fresh solver on the schedule that the model was trained with, its timesteps set."""
        solver = self.solver(noise_scheduler.config)
        solver.set_timesteps(self.num_steps)
        return solver

    def describe(self) -> dict:
        names = ("num_steps", "num_samples", "guidance_scale", "interval", "rescale")
        solver = getattr(getattr(self.solver, "func", self.solver), "__self__", None)
        settings = {name: getattr(self, name) for name in names} | {"interval": list(self.interval)}
        return {"solver": getattr(solver, "__name__", str(solver)), **settings}
