"""From latents back to noise, and from there to the latents of an edited caption.

Song et al. 2021 (arXiv 2010.02502, section 4.3): DDIM without noise is a map between levels that can be run
backwards. One step of sampling goes from the level i (signal_i, sigma_i) to the cleaner one below,

    latents_{i−1} = signal_{i−1} · clean(latents_i, t_i) + sigma_{i−1} · noise(latents_i, t_i),

where both come out of the backbone at latents_i. Inversion knows latents_{i−1} and solves this for latents_i.
"""

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from diffgar.errors import InputError
from diffgar.models.diffusion.formulas import Denoise, implied_noise
from diffgar.models.diffusion.sampling import Solver, sample


def invert(
    denoise: Denoise,
    solver: Solver,
    latents: Tensor,
    num_inverted: int | None = None,
    num_iterations: int = 5,
    mask: Tensor | None = None,
) -> Tensor:
    """Clean latents (B, T, D) to the noisy latents from which `sample` returns to them.

    solver: a `DDIMScheduler` with its timesteps set. num_inverted: the number of steps to invert, from the clean end;
    None inverts all. num_iterations: calls of the backbone per step. 1 is plain DDIM inversion, which uses the
    prediction at latents_{i−1} for the one at latents_i; more is the accelerated fixed-point iteration of Pan et al.
    2023 (AIDI, arXiv 2309.04907). Plain iteration stalls if the backbone changes much between two levels; `fixed_point`
    does not. mask (B, T): True at valid frames; the others stay zero and have no influence.
    Raises InputError for another solver, or a num_inverted out of range.

    Where the prediction is linear in the latents, they come back up to rounding, whatever their scale. A network is not
    linear: if its prediction changes much between two levels, as for latents unlike those trained on, 5 calls leave a
    residual. And guidance above 1 extrapolates, so that one step may lead from two different latents to the same ones;
    then no number of calls finds which of the two it was.

    diffusers' own inverse scheduler converts the output, taken at t_i, to noise with the level of t_{i−1}, which is
    right for epsilon alone. Here both are of t_i.
    """
    if not isinstance(solver, DDIMScheduler):
        raise InputError(f"inversion runs DDIM backwards, found {type(solver).__name__}; use sampler=ddim")
    below = torch.tensor(1.0)  # the ᾱ of the clean end
    for timestep in inverted_timesteps(solver, num_inverted).flip(0):
        alpha_bar = solver.alphas_cumprod[timestep]
        step = step_up(denoise, solver.config.prediction_type, latents, timestep, (below, alpha_bar), mask)
        latents, below = fixed_point(step, latents, num_iterations), alpha_bar
    return latents


def step_up(
    denoise: Denoise,
    prediction_type: str,
    latents: Tensor,
    timestep: Tensor,
    alpha_bars: tuple[Tensor, Tensor],
    mask: Tensor | None,
) -> Callable[[Tensor], Tensor]:
    """The fixed-point map of one inversion step: a guess at the noisier latents (B, T, D) to a better guess.

    latents (B, T, D): those of the cleaner level. alpha_bars: ᾱ of the cleaner and of the noisier level.
    """
    (signal_below, signal), (sigma_below, sigma) = (
        [level.to(latents) for level in levels]
        for levels in ([a.sqrt() for a in alpha_bars], [(1 - a).sqrt() for a in alpha_bars])
    )
    ratio = signal / signal_below

    def step(guess: Tensor) -> Tensor:
        noise = implied_noise(prediction_type, denoise(guess, timestep), guess, signal, sigma)
        better = ratio * latents + (sigma - ratio * sigma_below) * noise
        return better if mask is None else better * mask.unsqueeze(-1)

    return step


def fixed_point(step: Callable[[Tensor], Tensor], guess: Tensor, num_iterations: int, memory: int = 5) -> Tensor:
    """The fixed point step(x) = x (B, T, D), each sample on its own, from a guess in `num_iterations` calls of `step`.

    Anderson acceleration (Walker & Ni 2011, SIAM J. Numer. Anal. 49, eq. 2.2, β = 1): the next guess combines the last
    `memory` results so that their residuals, step(x) − x, cancel best.
    """
    results: list[Tensor] = []  # (B, T · D) each
    residuals: list[Tensor] = []
    for _ in range(num_iterations):
        result = step(guess)
        results = [*results, result.flatten(1)][-memory:]
        residuals = [*residuals, (result - guess).flatten(1)][-memory:]
        guess = (results[-1] - _correction(torch.stack(results, dim=2), torch.stack(residuals, dim=2))).view_as(guess)
    return guess


def _correction(results: Tensor, residuals: Tensor) -> Tensor:
    """The term (B, N) that acceleration subtracts from the last of the results (B, N, M); zero if M is 1."""
    changes = residuals.diff(dim=2)  # (B, N, M − 1)
    gram = changes.mT @ changes
    ridge = 1e-6 * gram.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] + torch.finfo(gram.dtype).tiny
    gram = gram + ridge * torch.eye(gram.shape[1], device=gram.device)  # converged residuals hardly differ any more
    weights = torch.linalg.solve(gram, changes.mT @ residuals[:, :, -1:])  # (B, M − 1, 1)
    return (results.diff(dim=2) @ weights).squeeze(2)


def inverted_timesteps(solver: Solver, num_inverted: int | None) -> Tensor:
    """The last `num_inverted` of the solver's timesteps, in descending order; None is all of them."""
    num_steps = len(solver.timesteps)
    num_inverted = num_steps if num_inverted is None else num_inverted
    if not 0 < num_inverted <= num_steps:
        raise InputError(f"num_inverted {num_inverted} of {num_steps} steps; choose 1 to {num_steps}")
    return solver.timesteps[-num_inverted:]


def edit(
    source: Denoise,
    targets: Sequence[Denoise],
    solver: Solver,
    latents: Tensor,
    num_inverted: int | None = None,
    num_iterations: int = 5,
    mask: Tensor | None = None,
) -> list[Tensor]:
    """Latents (B, T, D) of the source caption, edited towards each target: inverted once, then sampled per target.

    source, targets: denoisers of the captions before and after the edit, with their negatives. Fewer inverted steps
    keep more of the latents; the published edits invert 20 of 50 steps, with guidance 3 in both directions.
    """
    noisy_latents = invert(source, solver, latents, num_inverted, num_iterations, mask)
    timesteps = inverted_timesteps(solver, num_inverted)
    return [sample(target, solver, noisy_latents, timesteps) for target in targets]
