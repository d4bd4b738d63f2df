"""The objective: each formula against its inverse, its reference or its limit."""

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler

from diffgar.batch import Batch
from diffgar.errors import InputError
from diffgar.models.contrastive import info_nce, nt_xent
from diffgar.models.diffusion.formulas import (
    PREDICTION_TYPES,
    clean_latents,
    diffusion_target,
    implied_noise,
    signal_and_sigma,
)
from diffgar.models.diffusion.loss_parts import Draws, LossParts, drop_captions
from diffgar.models.diffusion.objective import CONTRASTIVE_LOSSES, Objective, check_schedule, loss_weights, masked_mse
from diffgar.models.encoders.base import pool
from diffgar.text_states import TextStates

PUBLISHED = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195, "clip_sample": False}


def batch(size=6, num_frames=5, dim=8):
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, size, num_frames, dim, generator=generator)
    return latents, noise, torch.linspace(0, 999, size).long()


def as_batch(latents, mask=None):
    """Latents as a batch whose captions no backbone here reads."""
    mask = torch.ones(latents.shape[:2], dtype=torch.bool) if mask is None else mask
    text = TextStates(torch.zeros(len(latents), 1, 1), torch.ones(len(latents), 1, dtype=torch.bool))
    return Batch(latents, mask, text, torch.arange(len(latents)), step=0)


def draws_of(noise, timesteps):
    return Draws(noise, timesteps, torch.zeros(len(noise), dtype=torch.bool))


def told(prediction):
    """A backbone that predicts this, whatever it is told."""
    return lambda noisy_latents, timesteps, text, mask: prediction


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_target_gives_back_the_latents_and_the_noise_it_was_made_of(prediction_type):
    latents, noise, timesteps = batch()
    scheduler = DDPMScheduler(**PUBLISHED)
    levels = signal_and_sigma(scheduler, timesteps)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    target = diffusion_target(prediction_type, latents, noise, *levels)
    close = {"atol": 1e-4, "rtol": 1e-4}  # epsilon divides by a signal of 0.01 at the last timestep
    torch.testing.assert_close(clean_latents(prediction_type, target, noisy, *levels), latents, **close)
    torch.testing.assert_close(implied_noise(prediction_type, target, noisy, *levels), noise, **close)


def test_v_is_what_diffusers_calls_velocity():
    latents, noise, timesteps = batch()
    scheduler = DDPMScheduler(**PUBLISHED)
    target = diffusion_target("v_prediction", latents, noise, *signal_and_sigma(scheduler, timesteps))
    torch.testing.assert_close(target, scheduler.get_velocity(latents, noise, timesteps))


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("timestep", [0, 200, 500, 990])
def test_min_snr_weighs_the_clean_latents_error_the_same_for_every_prediction_type(prediction_type, timestep):
    latents, noise, _ = batch()
    timesteps = torch.full((len(latents),), timestep)
    levels = [level.double() for level in signal_and_sigma(DDPMScheduler(**PUBLISHED), timesteps)]
    noisy = levels[0] * latents + levels[1] * noise
    target = diffusion_target(prediction_type, latents, noise, *levels)
    prediction = target + 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    weighted = loss_weights(prediction_type, *levels, min_snr_gamma=5) * (prediction - target).square().mean((1, 2))
    clean = clean_latents(prediction_type, prediction, noisy, *levels)
    snr = (levels[0] / levels[1]).square().flatten()
    torch.testing.assert_close(weighted, snr.clamp(max=5) * (clean - latents).square().mean((1, 2)))


def test_weights_stay_finite_where_no_signal_is_left():
    for prediction_type in PREDICTION_TYPES:
        weights = loss_weights(prediction_type, torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 5.0, p2_gamma=1.0)
        assert weights.isfinite().all()


def test_p2_weighs_high_noise_more():
    weights = loss_weights("sample", *signal_and_sigma(DDPMScheduler(**PUBLISHED), torch.arange(1000)), p2_gamma=1.0)
    assert (weights.diff() > 0).all() and weights[-1] > 0.99


def test_padding_frames_are_not_in_the_error():
    latents, noise, _ = batch()
    mask = torch.arange(5) < torch.arange(1, 7).clamp(max=5).unsqueeze(1)
    garbage = torch.where(mask.unsqueeze(-1), noise, torch.tensor(1e3))
    expected = torch.stack([F.mse_loss(n[m], z[m]) for n, z, m in zip(noise, latents, mask, strict=True)])
    torch.testing.assert_close(masked_mse(garbage, latents, mask), expected)


@pytest.mark.parametrize("null_length", [1, 9])
def test_a_dropped_caption_is_the_empty_one_and_the_others_are_untouched(null_length):
    text, null_text = torch.randn(3, 4, 8), torch.randn(null_length, 8)
    text_mask = torch.arange(4) < torch.tensor([[4], [2], [3]])
    dropped = torch.tensor([False, True, False])
    found = drop_captions(TextStates(text, text_mask), null_text, dropped)
    assert torch.equal(found.hidden_states[1][found.mask[1]], null_text)
    for row in (0, 2):
        assert torch.equal(found.hidden_states[row][found.mask[row]], text[row][text_mask[row]])


@pytest.mark.parametrize("loss", CONTRASTIVE_LOSSES)
def test_the_contrastive_term_does_not_hear_padding_frames(loss):
    latents, noise, timesteps = batch()
    prediction = latents + noise
    mask = torch.arange(5) < torch.arange(1, 7).clamp(max=5).unsqueeze(1)
    garbage = torch.where(mask.unsqueeze(-1), prediction, torch.tensor(50.0))
    objective, inputs = Objective(contrastive_weight=2.0, contrastive_loss=loss), draws_of(noise, timesteps)
    clean, dirty = (
        objective.loss(told(x), DDPMScheduler(**PUBLISHED), as_batch(latents, mask), inputs, Affine())
        for x in (prediction, garbage)
    )
    torch.testing.assert_close(dirty.means(), clean.means())
    torch.testing.assert_close(dirty.total, clean.total)
    torch.testing.assert_close(clean.total, clean.mse + 2 * clean.contrastive)


def test_info_nce_is_between_the_query_and_the_index_as_retrieval_has_them():
    prediction, latents, _ = batch()
    objective = Objective(contrastive_weight=1.0, contrastive_temperature=0.05, contrastive_loss="info_nce")
    found = objective.contrastive_term(prediction, as_batch(latents), Affine())
    query, index = pool(Affine().as_ranked(prediction)), pool(Affine().as_ranked(latents))
    torch.testing.assert_close(found, info_nce(query, index, 0.05))
    normalised = Objective(contrastive_weight=1.0, contrastive_temperature=0.05)
    found = normalised.contrastive_term(prediction, as_batch(latents), Affine())
    torch.testing.assert_close(found, nt_xent(pool(prediction), pool(latents), 0.05))


class Affine(LossParts):
    def as_ranked(self, latents):
        return 0.5 * latents + 2


def perfect(prediction_type, latents, noise):
    """A backbone that knows the answer."""

    def backbone(noisy_latents, timesteps, text, mask):
        levels = signal_and_sigma(DDPMScheduler(**PUBLISHED), timesteps)
        return diffusion_target(prediction_type, latents, noise, *levels)

    return backbone


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("weighting", [{}, {"min_snr_gamma": 5.0}, {"p2_gamma": 1.0}])
def test_a_perfect_prediction_has_no_loss(prediction_type, weighting):
    latents, noise, timesteps = batch()
    scheduler = DDPMScheduler(**PUBLISHED, prediction_type=prediction_type)
    objective = Objective(prediction_type, **weighting)
    backbone = perfect(prediction_type, latents, noise)
    losses = objective.loss(backbone, scheduler, as_batch(latents), draws_of(noise, timesteps))
    assert losses.total.shape == (len(latents),) and losses.total.abs().max() == 0
    assert losses.contrastive is None and losses.means().keys() == {"loss"}


def test_a_sample_has_the_same_loss_in_any_batch():
    latents, noise, timesteps = batch()
    scheduler = DDPMScheduler(**PUBLISHED, prediction_type="sample")

    def errors(rows):
        def backbone(noisy_latents, timesteps, text, mask):
            return 0.5 * noisy_latents

        inputs = as_batch(latents[rows]), draws_of(noise[rows], timesteps[rows])
        return Objective().loss(backbone, scheduler, *inputs).total

    torch.testing.assert_close(errors([0, 1, 2, 3]), torch.cat([errors([0, 1]), errors([2, 3])]))


def test_an_unknown_prediction_type_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'noise'; choose one of sample, epsilon, v_prediction"):
        Objective("noise")


def test_an_unknown_contrastive_loss_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="contrastive_loss 'triplet'; choose one of nt_xent, info_nce"):
        Objective(contrastive_loss="triplet")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"caption_dropout": 1.5},
            "caption_dropout is 1.5; give it a number of at least 0 and at most 1",
        ),
        ({"caption_dropout": -0.1}, "caption_dropout is -0.1"),
        ({"caption_dropout": None}, "caption_dropout is None"),
        ({"contrastive_weight": -1}, "contrastive_weight is -1; give it a number of at least 0"),
        ({"contrastive_temperature": 0}, "contrastive_temperature is 0"),
        ({"min_snr_gamma": "five"}, "min_snr_gamma is 'five'"),
    ],
)
def test_values_that_no_objective_can_have_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Objective(**values)


@pytest.mark.parametrize("schedule", [{"rescale_betas_zero_snr": True}, {"beta_schedule": "squaredcos_cap_v2"}])
def test_epsilon_prediction_with_zero_terminal_snr_is_refused(schedule):
    for prediction_type in ("sample", "v_prediction"):
        check_schedule(DDIMScheduler(**PUBLISHED | schedule, prediction_type=prediction_type))
    with pytest.raises(ValueError, match="objective=v_prediction"):
        check_schedule(DDIMScheduler(**PUBLISHED | schedule, prediction_type="epsilon"))


def test_clipping_and_an_end_above_zero_noise_are_refused():
    with pytest.raises(ValueError, match="clip_sample: false"):
        check_schedule(DDPMScheduler(**PUBLISHED | {"clip_sample": True}))
    with pytest.raises(ValueError, match="set_alpha_to_one: false"):
        check_schedule(DDIMScheduler(**PUBLISHED, set_alpha_to_one=False))
