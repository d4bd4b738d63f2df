"""Inverting latents, of tracks or generated, and generating them again under another caption."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from diffgar.evaluation.queries import sample_generator
from diffgar.models.diffusion.guidance import Negative
from diffgar.models.diffusion.inversion import Denoise, edit, invert, inverted_timesteps
from diffgar.models.diffusion.sampling import Sampler, sample
from diffgar.models.encoders.base import pool
from diffgar.models.ldm import LatentDiffusion
from diffgar.text_states import TextStates


class Editor:
    """A model with latents (P, T, D) on it, in the encoder's scale, and their mask (P, T), to invert and to edit."""

    def __init__(self, model: LatentDiffusion, sampler: Sampler, latents: Tensor, mask: Tensor):
        self.model, self.sampler = model, sampler
        self.latents, self.mask, self.valid = latents, mask, mask.to(self.model.device)
        self.solver = sampler.start(self.model.noise_scheduler)

    def of_queries(self, states: TextStates, seed: int) -> "Editor":
        """The same editor on generated latents."""
        latents = self.generate(states, seed)
        return Editor(self.model, self.sampler, latents, torch.ones(latents.shape[:2], dtype=torch.bool))

    def denoiser(self, states: TextStates, scale: float | None = None, negatives: Sequence[Negative] = ()) -> Denoise:
        """The denoiser for text states, at guidance `scale` or the sampler's."""
        sampler = self.sampler if scale is None else replace(self.sampler, guidance_scale=scale)
        caption, null = self.model.on_device(states), self.model.null_states(len(self.latents))
        avoided = [(self.model.on_device(negative), weight) for negative, weight in negatives]
        parts = self.model.backbone, self.model.noise_scheduler, caption, null
        return sampler.denoiser(*parts, negatives=avoided, mask=self.valid)

    def clean(self) -> Tensor:
        """The latents (P, T, D) in the model's scale, zero at padding."""
        return self.model.normalise(self.latents.to(self.model.device)) * self.valid.unsqueeze(-1)

    @torch.no_grad()
    def edit(self, source: Denoise, targets: list[Denoise], num_inverted: int, num_iterations: int) -> list[Tensor]:
        """For each target the edited latents, pooled to unit queries (P, D)."""
        edited = edit(source, targets, self.solver, self.clean(), num_inverted, num_iterations, self.valid)
        latents = [self.model.denormalise(latents).cpu() for latents in edited]
        return [pool(each, self.mask, self.model.centre) for each in latents]

    def generate(self, states: TextStates, seed: int) -> Tensor:
        """Latents (P, T, D) from noise."""
        generators = [sample_generator("edit", seed, i) for i in range(len(self.latents))]
        return self.model.generate(self.sampler, states, generators, self.model.num_frames).cpu()

    @torch.no_grad()
    def round_trips(self, states: TextStates, scale: float, num_iterations: int) -> dict[str, float]:
        """Relative error of inverting and generating again under the same caption, plain DDIM's and the exact one's."""
        denoise, clean, errors = self.denoiser(states, scale), self.clean(), {}
        for name, iterations in (("plain", 1), ("exact", num_iterations)):
            noisy = invert(denoise, self.solver, clean, None, iterations, self.valid)
            again = sample(denoise, self.solver, noisy, inverted_timesteps(self.solver, None))
            errors[name] = float((again - clean)[self.valid].norm() / clean[self.valid].norm())
        return errors
