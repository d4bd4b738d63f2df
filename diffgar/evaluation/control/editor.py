"""The editor: inverts the latents of tracks with a diffusion model, and generates them again under other captions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from diffgar.dataloading.whole import whole_tracks
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import sample_generator
from diffgar.models.diffusion.formulas import Denoise
from diffgar.models.diffusion.guidance import Negative
from diffgar.models.diffusion.inversion import edit, invert, inverted_timesteps
from diffgar.models.diffusion.sampling import Sampler, sample
from diffgar.models.encoders.base import pool
from diffgar.models.ldm import LatentDiffusion
from diffgar.text_states import TextStates


class Editor:
    """A diffusion model, and the latents (P, T, D) that it inverts and edits.

    latents: in the encoder's scale; mask (P, T): their valid frames. Raises InputError for a sampler that is not DDIM.
    """

    def __init__(self, model: LatentDiffusion, sampler: Sampler, latents: Tensor, mask: Tensor):
        self.model, self.sampler, self.latents, self.mask = model, sampler, latents, mask
        self.valid = mask.to(model.device)
        solver = sampler.start(model.noise_scheduler)
        if not isinstance(solver, DDIMScheduler):
            raise InputError(f"inversion runs DDIM backwards, found {type(solver).__name__}; use sampler=ddim")
        self.solver = solver

    @classmethod
    def of_tracks(cls, experiment: Experiment, sampler: Sampler, tracks: np.ndarray) -> "Editor":
        """An editor of real tracks, of the frames that the model was trained on: the first of each, or all, averaged.

        Raises InputError for a model that is no diffusion model.
        """
        model = experiment.model
        if not isinstance(model, LatentDiffusion):
            raise InputError(f"inversion needs a diffusion model, and {experiment.name} ({model.row}) is none")
        positions = experiment.track_positions[tracks]
        if experiment.trained.get("datamodule", {}).get("frames") == "whole":
            means = whole_tracks(experiment.audio, positions, model.num_frames).float()  # (P, T, D)
            return cls(model, sampler, means, torch.ones(means.shape[:2], dtype=torch.bool))
        crops, mask = experiment.audio.gather(positions, np.zeros_like(positions), model.num_frames)
        return cls(model, sampler, crops.float(), mask)

    def of_queries(self, states: TextStates, seed: int) -> "Editor":
        """The same editor on latents that are generated for these captions."""
        latents = self.generate(states, seed)
        return Editor(self.model, self.sampler, latents, torch.ones(latents.shape[:2], dtype=torch.bool))

    def pooled(self) -> Tensor:
        """The latents as unit queries (P, D)."""
        return pool(self.latents, self.mask, self.model.centre)

    def prompted(self, states: TextStates, seed: int) -> Tensor:
        """Unit queries (P, D) that are generated for these captions, independent of the latents."""
        return pool(self.generate(states, seed), centre=self.model.centre)

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

    def edit(self, source: Denoise, targets: list[Denoise], num_inverted: int, num_iterations: int) -> list[Tensor]:
        """For each target the edited latents, pooled to unit queries (P, D)."""
        edited = self.edited_latents(source, targets, num_inverted, num_iterations)
        return [pool(latents, self.mask, self.model.centre) for latents in edited]

    @torch.no_grad()
    def edited_latents(
        self, source: Denoise, targets: list[Denoise], num_inverted: int, num_iterations: int
    ) -> list[Tensor]:
        """For each target the edited latents (P, T, D), in the encoder's scale."""
        edited = edit(source, targets, self.solver, self.clean(), num_inverted, num_iterations, self.valid)
        return [self.model.denormalise(latents).cpu() for latents in edited]

    def generate(self, states: TextStates, seed: int) -> Tensor:
        """Latents (P, T, D) that are generated for these captions, from noise."""
        generators = [sample_generator("edit", seed, i) for i in range(len(self.latents))]
        return self.model.generate(self.sampler, states, generators, self.model.num_frames).cpu()

    @torch.no_grad()
    def round_trips(self, states: TextStates, scale: float, num_iterations: int) -> dict[str, float]:
        """Relative error of inverting and generating again under the same caption, by plain and by exact inversion."""
        denoise, clean, errors = self.denoiser(states, scale), self.clean(), {}
        for name, iterations in (("plain", 1), ("exact", num_iterations)):
            noisy = invert(denoise, self.solver, clean, None, iterations, self.valid)
            again = sample(denoise, self.solver, noisy, inverted_timesteps(self.solver, None))
            errors[name] = float((again - clean)[self.valid].norm() / clean[self.valid].norm())
        return errors
