"""Solvers and guidance: what a perfect prediction, equal texts and equal seeds must lead to."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

from diffgar.errors import InputError
from diffgar.models.backbones.dit import DiT
from diffgar.models.backbones.mlp import MLP
from diffgar.models.backbones.unet import UNet
from diffgar.models.diffusion.formulas import PREDICTION_TYPES, clean_latents, diffusion_target, signal_and_sigma
from diffgar.models.diffusion.guidance import Denoiser, Guidance, guidance_terms, masked_std
from diffgar.models.diffusion.sampling import Sampler, draw_noise, sample
from diffgar.text_states import TextStates

D, C, T = 16, 12, 8
SOLVERS = {
    "DDIM": partial(DDIMScheduler.from_config, timestep_spacing="trailing"),
    "DDPM": partial(DDPMScheduler.from_config, timestep_spacing="trailing"),
    "DPM-Solver++(2M)": partial(DPMSolverMultistepScheduler.from_config, timestep_spacing="trailing"),
    "UniPC": partial(UniPCMultistepScheduler.from_config, timestep_spacing="trailing"),
}


def training_schedule(prediction_type="sample", **options):
    published = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195, "clip_sample": False}
    return DDPMScheduler(**published | options, prediction_type=prediction_type)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def perfect(noise_scheduler, latents):
    """A denoiser that knows the clean latents, and says so in the schedule's prediction type."""

    def denoise(noisy_latents, timestep):
        signal, sigma = signal_and_sigma(noise_scheduler, torch.as_tensor([int(timestep)]))
        noise = (noisy_latents - signal * latents) / sigma
        return diffusion_target(noise_scheduler.config.prediction_type, latents, noise, signal, sigma)

    return denoise


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("num_steps", [2, 4, 20, 50])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_perfect_prediction_steps_back_to_the_clean_latents(name, num_steps, prediction_type):
    schedule, latents = training_schedule(prediction_type), 3 * torch.randn(2, T, D)
    solver = Sampler(SOLVERS[name], num_steps).start(schedule)
    noise = draw_noise(generators(0, 1), T, D, "cpu")
    found = sample(perfect(schedule, latents), solver, noise, solver.timesteps, generators(0, 1))
    torch.testing.assert_close(found, latents, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("options", [{"rescale_betas_zero_snr": True}, {"beta_schedule": "squaredcos_cap_v2"}])
@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
@pytest.mark.parametrize("name", SOLVERS)
def test_so_it_does_on_schedules_that_end_in_pure_noise(name, prediction_type, options):
    schedule, latents = training_schedule(prediction_type, **options), 3 * torch.randn(2, T, D)
    solver = Sampler(SOLVERS[name], 20).start(schedule)
    noise = draw_noise(generators(0, 1), T, D, "cpu")
    found = sample(perfect(schedule, latents), solver, noise, solver.timesteps, generators(0, 1))
    torch.testing.assert_close(found, latents, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("num_steps", [1, 2, 8, 50])
@pytest.mark.parametrize("name", SOLVERS)
def test_sampling_starts_at_the_last_timestep_trained_on_and_calls_the_network_once_a_step(name, num_steps):
    solver, calls = Sampler(SOLVERS[name], num_steps).start(training_schedule()), []
    sample(
        lambda latents, timestep: calls.append(int(timestep)) or latents, solver, torch.randn(1, T, D), solver.timesteps
    )
    assert calls[0] == 999 and len(calls) == num_steps


def test_the_last_alpha_is_one():
    ddim = Sampler(SOLVERS["DDIM"], 50).start(training_schedule())
    assert ddim.final_alpha_cumprod == 1 and ddim.timesteps[-1] - 1000 // 50 < 0
    for name in ("DPM-Solver++(2M)", "UniPC"):
        assert Sampler(SOLVERS[name], 50).start(training_schedule()).sigmas[-1] == 0


@pytest.mark.parametrize("name", ["DDIM", "DDPM"])
def test_steps_that_skip_levels_are_refused(name):
    with pytest.raises(ValueError, match="num_steps 7 .* divides 1000"):
        Sampler(SOLVERS[name], 7).start(training_schedule())
    with pytest.raises(ValueError, match="the first step is at timestep 980, not 999"):
        Sampler(SOLVERS[name].func, 50).start(training_schedule())


def test_epsilon_prediction_from_pure_noise_is_refused():
    with pytest.raises(ValueError, match="zero-terminal SNR"):
        Sampler(SOLVERS["DDIM"]).start(training_schedule("epsilon", rescale_betas_zero_snr=True))


def test_a_solver_keeps_the_training_schedule_and_prediction_type():
    schedule = training_schedule("v_prediction")
    for make in SOLVERS.values():
        solver = Sampler(make).start(schedule)
        assert solver.config.prediction_type == "v_prediction"
        torch.testing.assert_close(solver.alphas_cumprod, schedule.alphas_cumprod)


@pytest.fixture(params=["unet", "mlp", "dit"])
def backbone(request):
    torch.manual_seed(0)
    network = {
        "unet": lambda: UNet(D, C, [24, 24], [2, 2], [1, 1], [0, 1], num_heads=2, head_dim=8, features=32),
        "mlp": lambda: MLP(D, C, width=32, depth=2, num_heads=2),
        "dit": lambda: DiT(D, C, width=32, depth=2, num_heads=2),
    }[request.param]()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.requires_grad_(False)


def texts(seed, size=2, length=5):
    """Token states of `size` captions of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.arange(length, length - size, -1).unsqueeze(1)
    return TextStates(torch.randn(size, length, C, generator=generator), torch.arange(length) < lengths)


def run(backbone, terms, num_steps=5, solver="DDIM", seeds=(0, 1), mask=None, **options):
    schedule = training_schedule()
    solver = Sampler(SOLVERS[solver], num_steps).start(schedule)
    denoise = Denoiser(backbone, schedule, terms, Guidance(**options), mask)
    noise = draw_noise(generators(*seeds), T, D, "cpu")
    return sample(denoise, solver, noise, solver.timesteps, generators(*seeds))


def close(first, second):
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


def test_guidance_1_equals_no_guidance_and_makes_no_second_prediction(backbone):
    caption, null, negative = texts(0), texts(1), texts(2)
    for form, negatives in (("compose", []), ("replace", []), ("replace", [(negative, 1.0)])):
        terms = guidance_terms(caption, null, 1.0, negatives, form)
        assert len(terms) == 1
        close(run(backbone, terms), run(backbone, [guidance_terms(caption, null, 1.0)[0]]))


def test_guidance_equals_its_formula_written_out(backbone):
    caption, null, negative, other = texts(0), texts(1, length=7), texts(2, length=3), texts(3)
    noisy_latents, timesteps = torch.randn(2, T, D), torch.tensor([400, 400])
    c, n, a, b = (backbone(noisy_latents, timesteps, text) for text in (caption, null, negative, other))
    for terms, expected in (
        (guidance_terms(caption, null, 3.0), n + 3 * (c - n)),
        (guidance_terms(caption, null, 3.0, [(negative, 1.0)], "replace"), a + 3 * (c - a)),
        (guidance_terms(caption, null, 3.0, [(negative, 0.5)]), n + 3 * (c - n) - 0.5 * (a - n)),
        (
            guidance_terms(caption, null, 3.0, [(negative, 0.5), (other, -2.0)]),
            n + 3 * (c - n) - 0.5 * (a - n) + 2 * (b - n),
        ),
    ):
        close(Denoiser(backbone, training_schedule(), terms)(noisy_latents, 400), expected)


@pytest.mark.parametrize("form", ["replace", "compose"])
def test_a_negative_equal_to_the_null_caption_changes_nothing(backbone, form):
    caption, null = texts(0), texts(1)
    plain = guidance_terms(caption, null, 3.0)
    close(run(backbone, guidance_terms(caption, null, 3.0, [(null, 1.5)], form)), run(backbone, plain))


def test_the_order_of_negatives_changes_nothing(backbone):
    caption, null = texts(0), texts(1)
    negatives = [(texts(2), 0.5), (texts(3), 1.0)]
    one, other = (guidance_terms(caption, null, 3.0, order) for order in (negatives, negatives[::-1]))
    close(run(backbone, one), run(backbone, other))


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_seed_gives_the_same_latents_in_any_batch(backbone, solver):
    caption, null = texts(0), texts(1)
    together = run(backbone, guidance_terms(caption, null, 3.0), solver=solver)
    for row in (0, 1):
        one = [text.select(slice(row, row + 1)) for text in (caption, null)]
        close(run(backbone, guidance_terms(*one, 3.0), solver=solver, seeds=(row,))[0], together[row])


def test_padding_tokens_change_nothing(backbone):
    caption, null = texts(0), texts(1)
    longer = TextStates(F.pad(caption.hidden_states, (0, 0, 0, 4), value=2.0), F.pad(caption.mask, (0, 4)))
    close(run(backbone, guidance_terms(longer, null, 3.0)), run(backbone, guidance_terms(caption, null, 3.0)))


@pytest.mark.parametrize("options", [{}, {"rescale": 0.7}, {"parallel": 0.0}])
def test_padding_frames_change_nothing(backbone, options):
    mask = torch.arange(T) < torch.tensor([[T], [3]])
    noisy_latents = torch.randn(2, T, D)
    garbage = torch.where(mask.unsqueeze(-1), noisy_latents, torch.tensor(9.0))
    terms, schedule = guidance_terms(texts(0), texts(1), 3.0), training_schedule()
    denoise = Denoiser(backbone, schedule, terms, Guidance(**options), mask)
    close(denoise(garbage, 500)[mask], denoise(noisy_latents, 500)[mask])
    alone = [text.select(slice(1, None)) for text in (texts(0), texts(1))]
    short = Denoiser(backbone, schedule, guidance_terms(*alone, 3.0), Guidance(**options))
    close(short(noisy_latents[1:, :3], 500)[0], denoise(noisy_latents, 500)[1, :3])


def test_outside_its_interval_guidance_is_the_caption_alone(backbone):
    terms, noisy_latents, schedule = guidance_terms(texts(0), texts(1), 3.0), torch.randn(2, T, D), training_schedule()
    inside = Denoiser(backbone, schedule, terms, Guidance(interval=(0.2, 0.6)))
    for timestep, expected in ((200, terms), (599, terms), (199, terms[:1]), (600, terms[:1])):
        close(inside(noisy_latents, timestep), Denoiser(backbone, schedule, expected)(noisy_latents, timestep))
    close(run(backbone, terms, interval=(0.0, 0.0)), run(backbone, terms[:1]))


def test_full_rescale_gives_the_captions_own_deviation(backbone):
    terms, noisy_latents = guidance_terms(texts(0), texts(1), 6.0), torch.randn(2, T, D)
    own = Denoiser(backbone, training_schedule(), terms[:1])
    rescaled = Denoiser(backbone, training_schedule(), terms, Guidance(rescale=1.0))
    close(masked_std(rescaled(noisy_latents, 300), None), masked_std(own(noisy_latents, 300), None))


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_projected_guidance_adds_nothing_along_the_captions_clean_latents(backbone, prediction_type):
    schedule = training_schedule(prediction_type)
    terms, noisy_latents = guidance_terms(texts(0), texts(1), 6.0), torch.randn(2, T, D)
    levels = signal_and_sigma(schedule, torch.tensor([300, 300]))
    own, plain, projected = (
        clean_latents(prediction_type, denoise(noisy_latents, 300), noisy_latents, *levels).flatten(1)
        for denoise in (
            Denoiser(backbone, schedule, terms[:1]),
            Denoiser(backbone, schedule, terms),
            Denoiser(backbone, schedule, terms, Guidance(parallel=0.0)),
        )
    )
    assert (F.cosine_similarity(projected - own, own).abs() < 1e-4).all()
    assert (F.cosine_similarity(plain - own, own).abs() > 1e-3).all()
    whole = Denoiser(backbone, schedule, terms, Guidance(parallel=1.0))
    close(whole(noisy_latents, 300), Denoiser(backbone, schedule, terms)(noisy_latents, 300))


GUIDANCES = {
    "plain": {},
    "interval": {"interval": (0.2, 0.6)},
    "rescale": {"rescale": 0.7},
    "parallel": {"parallel": 0.3},
    "all": {"interval": (0.2, 0.9), "rescale": 0.5, "parallel": 0.5},
}


@pytest.mark.parametrize("options", GUIDANCES.values(), ids=GUIDANCES)
def test_samples_at_timesteps_of_their_own_have_the_prediction_they_have_alone(backbone, options):
    schedule, timesteps = training_schedule(), torch.tensor([50, 199, 200, 599, 600, 950])
    caption, null, noisy_latents = texts(0, 6, 8), texts(1, 6, 8), torch.randn(6, T, D)
    mask = torch.arange(T) < torch.tensor([[T], [3], [T], [5], [T], [1]])
    guidance = Guidance(3.0, **options)
    found = guidance.denoiser(backbone, schedule, caption, null, mask=mask)(noisy_latents, timesteps)
    for row, timestep in enumerate(timesteps.tolist()):
        one = slice(row, row + 1)
        parts = [text.select(one) for text in (caption, null)]
        alone = guidance.denoiser(backbone, schedule, *parts, mask=mask[one])
        close(found[one][mask[one]], alone(noisy_latents[one], timestep)[mask[one]])


def test_a_form_that_does_not_exist_and_two_replacing_negatives_are_refused():
    caption, null = texts(0), texts(1)
    with pytest.raises(ValueError, match="choose one of replace, compose"):
        guidance_terms(caption, null, 2.0, form="subtract")
    with pytest.raises(ValueError, match="takes one negative, found 2"):
        guidance_terms(caption, null, 2.0, [(null, 1.0), (null, 1.0)], "replace")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_steps": 0}, "num_steps is 0; give it a whole number of at least 1"),
        ({"num_steps": 2.5}, "num_steps is 2.5; give it a whole number"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"batch_size": "all"}, "batch_size is 'all'"),
        ({"guidance_scale": "high"}, "guidance_scale is 'high'; give it a number"),
        ({"guidance_scale": None}, "guidance_scale is None"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"rescale": True}, "rescale is True"),
        ({"parallel": [1]}, r"parallel is \[1\]"),
        ({"interval": 0.5}, "interval 0.5 is no share of the noise range; give two numbers from 0 to 1"),
        ({"interval": [0.5]}, "no share of the noise range"),
        ({"interval": [0.9, 0.3]}, "the lower first"),
        ({"interval": [0, 1000]}, "no share of the noise range"),
        ({"interval": ["a", "b"]}, "no share of the noise range"),
        ({"interval": None}, "no share of the noise range"),
        ({"solver": "Euler"}, "solver is 'Euler', which makes no diffusers scheduler; choose sampler=ddim, ddpm"),
    ],
)
def test_values_that_no_sampler_can_have_are_refused_with_the_remedy(values, message):
    with pytest.raises(InputError, match=message):
        Sampler(**{"solver": SOLVERS["DDIM"]} | values)


def test_more_steps_than_were_trained_on_are_refused():
    with pytest.raises(InputError, match="num_steps 1001 is more than the 1000"):
        Sampler(SOLVERS["UniPC"], 1001).start(training_schedule())


def test_a_sampler_describes_itself():
    described = Sampler(SOLVERS["UniPC"], num_steps=8, guidance_scale=2.0).describe()
    assert described["solver"] == "UniPCMultistepScheduler" and described["num_steps"] == 8


def test_progress_is_told_of_each_step():
    solver, done = Sampler(SOLVERS["DDIM"], 5).start(training_schedule()), []
    sample(lambda latents, timestep: latents, solver, torch.randn(1, T, D), solver.timesteps, progress=done.append)
    assert done == [1] * 5
