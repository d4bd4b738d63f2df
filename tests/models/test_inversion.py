"""DDIM inversion: what it climbs, sampling comes back down."""

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from test_sampling import SOLVERS, training_schedule

from diffgar.models.diffusion.formulas import PREDICTION_TYPES, diffusion_target, signal_and_sigma
from diffgar.models.diffusion.inversion import edit, fixed_point, invert
from diffgar.models.diffusion.sampling import Sampler, sample

T, D = 4, 16


def gaussian(schedule, mean=0.0, scale=1.0):
    """The exact denoiser of latents that are normal with `mean` and a deviation of 0.3 to 2 times `scale` by dimension.

    The best guess at the clean latents is mean + k · (noisy − signal · mean), k = signal · var / (ᾱ · var + σ²).
    """
    variance = (scale * torch.linspace(0.3, 2, D)).square()

    def denoise(noisy_latents, timestep):
        signal, sigma = signal_and_sigma(schedule, torch.as_tensor([int(timestep)]))
        gain = signal * variance / (signal.square() * variance + sigma.square())
        latents = mean + gain * (noisy_latents - signal * mean)
        noise = (noisy_latents - signal * latents) / sigma
        return diffusion_target(schedule.config.prediction_type, latents, noise, signal, sigma)

    return denoise


def latents(seed=0):
    return torch.linspace(0.3, 2, D) * torch.randn(3, T, D, generator=torch.Generator().manual_seed(seed))


def error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def round_trip(prediction_type, num_steps, num_iterations, num_inverted=None):
    schedule, clean = training_schedule(prediction_type), latents()
    solver, denoise = Sampler(SOLVERS["DDIM"], num_steps).start(schedule), gaussian(schedule)
    noisy = invert(denoise, solver, clean, num_inverted, num_iterations)
    return error(sample(denoise, solver, noisy, solver.timesteps[-(num_inverted or num_steps) :]), clean)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_exact_inversion_and_sampling_return_to_the_latents(prediction_type):
    assert round_trip(prediction_type, 50, num_iterations=5) < 1e-4
    assert round_trip(prediction_type, 50, num_iterations=5, num_inverted=20) < 1e-4


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_exact_inversion_is_exact_at_any_scale_and_under_guidance(scale, guidance_scale):
    schedule, clean = training_schedule(), scale * latents()
    caption, null = gaussian(schedule, scale=scale), gaussian(schedule, scale=1.5 * scale)

    def denoise(noisy_latents, timestep):
        guided, plain = caption(noisy_latents, timestep), null(noisy_latents, timestep)
        return plain + guidance_scale * (guided - plain)

    solver = Sampler(SOLVERS["DDIM"], 50).start(schedule)
    noisy = invert(denoise, solver, clean, num_iterations=6)
    assert error(sample(denoise, solver, noisy, solver.timesteps), clean) < 1e-4


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_repeating_a_step_is_what_makes_it_exact(prediction_type):
    assert round_trip(prediction_type, 50, num_iterations=1) > 100 * round_trip(prediction_type, 50, num_iterations=5)


def test_all_prediction_types_invert_to_the_same_noise():
    found = []
    for prediction_type in PREDICTION_TYPES:
        schedule = training_schedule(prediction_type)
        solver = Sampler(SOLVERS["DDIM"], 50).start(schedule)
        found.append(invert(gaussian(schedule), solver, latents()))
    for other in found[1:]:
        assert error(other, found[0]) < 1e-3


def test_inverted_latents_look_like_unit_noise():
    schedule = training_schedule()
    noisy = invert(gaussian(schedule), Sampler(SOLVERS["DDIM"], 100).start(schedule), latents())
    assert abs(noisy.std() - 1) < 0.1


def test_an_edit_with_the_same_caption_changes_nothing():
    schedule = training_schedule()
    solver, denoise = Sampler(SOLVERS["DDIM"], 50).start(schedule), gaussian(schedule)
    assert error(edit(denoise, [denoise], solver, latents(), num_inverted=20)[0], latents()) < 1e-4


def test_the_more_is_inverted_the_more_an_edit_changes():
    schedule = training_schedule()
    solver = Sampler(SOLVERS["DDIM"], 50).start(schedule)
    source, target = gaussian(schedule), gaussian(schedule, mean=1.0)
    gained = [(edit(source, [target], solver, latents(), count)[0] - latents()).mean() for count in (5, 20, 35, 50)]
    assert gained == sorted(gained) and gained[0] < 0.2
    # from pure noise, a draw of the source becomes the same draw of the target: it moves by the whole mean
    assert abs(gained[-1] - 1.0) < 0.05


def test_only_ddim_is_inverted():
    solver = Sampler(DPMSolverMultistepScheduler.from_config, 50).start(training_schedule())
    with pytest.raises(ValueError, match="found DPMSolverMultistepScheduler; use sampler=ddim"):
        invert(gaussian(training_schedule()), solver, latents())


@pytest.mark.parametrize("num_inverted", [0, 51])
def test_more_steps_than_there_are_cannot_be_inverted(num_inverted):
    solver = DDIMScheduler.from_config(training_schedule().config, timestep_spacing="trailing")
    solver.set_timesteps(50)
    with pytest.raises(ValueError, match="choose 1 to 50"):
        invert(gaussian(training_schedule()), solver, latents(), num_inverted)


def test_a_fixed_point_is_found_where_plain_iteration_runs_away():
    slopes = torch.tensor([-1.5, -0.5, 0.5, 0.95]).expand(2, 1, 4)
    target = torch.randn(2, 1, 4, generator=torch.Generator().manual_seed(0))

    def step(guess):
        return target + slopes * (guess - target)

    plain = torch.zeros_like(target)
    for _ in range(12):
        plain = step(plain)
    assert error(plain, target) > 1
    assert error(fixed_point(step, torch.zeros_like(target), 12), target) < 1e-3
    assert torch.equal(fixed_point(step, target.clone(), 20), target)  # converged, it stays


def test_a_samples_fixed_point_does_not_depend_on_the_others():
    target = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    every = fixed_point(lambda guess: target + 0.9 * torch.tanh(guess - target), torch.zeros_like(target), 4)
    alone = fixed_point(lambda guess: target[:1] + 0.9 * torch.tanh(guess - target[:1]), torch.zeros(1, 2, 4), 4)
    torch.testing.assert_close(every[:1], alone, rtol=0, atol=1e-5)


def test_padding_frames_change_nothing():
    schedule = training_schedule()
    solver, denoise = Sampler(SOLVERS["DDIM"], 50).start(schedule), gaussian(schedule)
    clean = latents()
    padded = torch.cat([clean, torch.zeros(3, 5, D)], dim=1)
    mask = (torch.arange(T + 5) < T).expand(3, -1)
    noisy = invert(denoise, solver, padded, mask=mask)
    torch.testing.assert_close(noisy[:, :T], invert(denoise, solver, clean), rtol=0, atol=1e-5)
    assert not noisy[:, T:].any()
