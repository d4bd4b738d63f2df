"""The loss is formed in one place: what is added to it there reaches every model."""

from dataclasses import replace

import pytest
import torch
from test_datamodule import make_stores
from trained import a_batch_and_draws, losses_of, make

from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.models.baselines import Regression
from diffgar.models.diffusion import objective
from diffgar.models.diffusion.formulas import PREDICTION_TYPES
from diffgar.models.diffusion.objective import Objective
from diffgar.models.distill import Student
from diffgar.models.ldm import LatentDiffusion
from diffgar.models.tuning import Tuned

KINDS = (LatentDiffusion, Regression, Student, Tuned)


@pytest.fixture(scope="module")
def datamodule(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    make_stores(folder)
    return LatentDataModule(str(folder / "audio"), str(folder / "text"), num_frames=4, batch_size=4)


def made(kind, datamodule, objective_kind=Objective, prediction_type="sample", **options):
    options = {"contrastive_weight": 1.0, "contrastive_loss": "info_nce"} | options
    model = make(kind, datamodule, prediction_type, objective=objective_kind(prediction_type, **options))
    if kind in (Student, Tuned):
        model.learn_from(make(LatentDiffusion, datamodule, prediction_type))
    model.log_dict = lambda *args, **kwargs: None
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_weighting_of_the_error_reaches_every_model(datamodule, kind, monkeypatch):
    model = made(kind, datamodule)
    inputs = a_batch_and_draws(datamodule, model)
    before, by_level = losses_of(model, *inputs), objective.loss_weights
    new = torch.tensor([1.0, 2.0, 3.0, 0.0])
    monkeypatch.setattr(objective, "loss_weights", lambda *args: new * by_level(*args))
    after = losses_of(model, *inputs)
    torch.testing.assert_close(after.mse, new * before.mse)
    torch.testing.assert_close(after.contrastive, before.contrastive)
    assert before.mse.min() > 1e-6 and before.contrastive.min() > 0


class Larger(Objective):
    """A loss of somebody's own, five times the usual one."""

    def loss(self, *args, **options):
        losses = super().loss(*args, **options)
        return replace(losses, total=5 * losses.total)


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_minimises_the_loss_of_the_objective_that_it_is_given(datamodule, kind):
    steps = []
    for objective_kind in (Objective, Larger):
        model = made(kind, datamodule, objective_kind)
        a_batch_and_draws(datamodule, model)
        steps.append(model.training_step(datamodule.batches("train")[0], 0))
    torch.testing.assert_close(steps[1], 5 * steps[0])


@pytest.mark.parametrize("kind", [Regression, Student])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_student_and_a_regression_weigh_all_noise_levels_the_same(datamodule, kind, prediction_type):
    plain, weighted = (
        made(kind, datamodule, prediction_type=prediction_type, **options)
        for options in ({}, {"min_snr_gamma": 5.0, "p2_gamma": 1.0})
    )
    inputs = a_batch_and_draws(datamodule, plain)
    found = [losses_of(model, *inputs).total for model in (plain, weighted)]
    assert torch.equal(*found)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_regression_predicts_latents_whatever_the_noise_scheduler_says(datamodule, prediction_type):
    model = made(Regression, datamodule, prediction_type=prediction_type).eval()
    batch, draws = a_batch_and_draws(datamodule, model)
    kept = replace(draws, dropped=torch.zeros_like(draws.dropped))
    predicted = model.normalise(model.generate(None, batch.text, [], batch.latents.shape[1]))
    valid = batch.mask.all(dim=1)  # generation knows no padding
    expected = (predicted - batch.latents).square().mean(dim=(1, 2))
    assert valid.any()
    torch.testing.assert_close(losses_of(model, batch, kept).mse[valid], expected[valid], atol=1e-5, rtol=1e-5)
