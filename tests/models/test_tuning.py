"""A tuned model learns from what its sampler makes of the captions, and keeps to the denoising error."""

from dataclasses import replace

import pytest
import torch
from test_datamodule import make_stores
from trained import GUIDANCES, SOLVER, a_batch_and_draws, losses_of, make

from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.models.diffusion.formulas import PREDICTION_TYPES
from diffgar.models.diffusion.objective import Objective
from diffgar.models.diffusion.sampling import Sampler, sample
from diffgar.models.ldm import LatentDiffusion
from diffgar.models.tuning import Tuned


@pytest.fixture(scope="module")
def datamodule(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    make_stores(folder)
    return LatentDataModule(str(folder / "audio"), str(folder / "text"), num_frames=4, batch_size=4)


def tuned_and_start(datamodule, prediction_type="sample", weight=3.0, **options):
    objective = Objective(prediction_type, contrastive_weight=weight, contrastive_loss="info_nce")
    tuned = make(Tuned, datamodule, prediction_type, objective=objective, **options)
    start = make(LatentDiffusion, datamodule, prediction_type)
    tuned.learn_from(start)
    return tuned, start


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("gradient_steps", [1, 4])
@pytest.mark.parametrize("options", GUIDANCES, ids=["plain", "all"])
def test_it_is_tuned_on_what_its_sampler_makes(datamodule, prediction_type, gradient_steps, options):
    tuned, _ = tuned_and_start(datamodule, prediction_type, gradient_steps=gradient_steps, **options)
    batch, draws = a_batch_and_draws(datamodule, tuned)
    sampler = Sampler(SOLVER, num_steps=4, guidance_scale=3.0, **options)
    solver = sampler.start(tuned.noise_scheduler)
    with torch.no_grad():
        null = tuned.null_states(4)
        denoise = sampler.denoiser(tuned.backbone, tuned.noise_scheduler, batch.text, null, mask=batch.mask)
        expected = sample(denoise, solver, draws.noise, solver.timesteps)
    torch.testing.assert_close(tuned.generated(draws.noise, batch.text, batch.mask), expected, atol=1e-4, rtol=1e-4)


def test_gradients_go_through_the_last_steps_alone(datamodule):
    for gradient_steps, reaches_noise in ((3, False), (4, True)):
        tuned, _ = tuned_and_start(datamodule, gradient_steps=gradient_steps)
        batch, draws = a_batch_and_draws(datamodule, tuned)
        noise = draws.noise.requires_grad_()
        tuned.generated(noise, batch.text, batch.mask).sum().backward()
        assert (noise.grad is not None) == reaches_noise
        assert all(weight.grad is not None for weight in tuned.backbone.parameters())


def test_what_it_generates_comes_to_find_its_track(datamodule):
    tuned, _ = tuned_and_start(datamodule)
    batch, draws = a_batch_and_draws(datamodule, tuned)
    optimizer, terms = torch.optim.AdamW(tuned.parameters(), lr=2e-3), []
    for _ in range(25):
        losses = losses_of(tuned, batch, draws)
        optimizer.zero_grad(), losses.total.mean().backward(), optimizer.step()
        terms.append({name: value.item() for name, value in losses.means().items()})
    assert terms[-1]["contrastive"] < 0.5 * terms[0]["contrastive"]
    assert terms[-1]["mse"] < 2 * terms[0]["mse"]


def test_in_validation_its_loss_is_the_denoising_error(datamodule):
    tuned, start = tuned_and_start(datamodule)
    batch, draws = a_batch_and_draws(datamodule, tuned)
    found, expected = (losses_of(model.eval(), batch, draws).total for model in (tuned, start))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 0.0}, "its weight is 0; use .* objective.contrastive_weight=3"),
        ({"num_steps": 3}, "num_steps 3 and gradient_steps 1: the steps must divide 1000"),
        ({"gradient_steps": 0}, "gradient_steps is 0; give it a whole number of at least 1"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"interval": [0.9, 0.1]}, "interval .* is no share of the noise range"),
        ({"gradient_steps": 5}, "gradients go through 1 to all of them"),
    ],
)
def test_what_it_cannot_be_tuned_with_is_refused(datamodule, options, message):
    with pytest.raises(ValueError, match=message):
        tuned_and_start(datamodule, **options)


def test_without_a_teacher_it_is_a_generator_like_any_other_and_learns_from_scratch(datamodule):
    objective = Objective(
        contrastive_weight=1.0, contrastive_loss="info_nce", contrastive_segments=2, reverse_weight=4.0
    )
    model = make(Tuned, datamodule, objective=objective)
    assert model.row == LatentDiffusion.row == "gdr"
    assert make(Tuned, datamodule, objective=objective, teacher={"model_name": "m", "step": 1}).row == "tuned"
    inputs = a_batch_and_draws(datamodule, model)
    without = make(Tuned, datamodule, objective=replace(objective, reverse_weight=0.0))
    without.load_state_dict(model.state_dict())
    with_it, plain = losses_of(model, *inputs).contrastive, losses_of(without, *inputs).contrastive
    assert (with_it > plain).all()
