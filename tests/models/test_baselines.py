"""The rivals of diffusion learn the toy pairs through the same data and evaluator."""

from functools import partial

import pytest
import torch
from diffusers import DDPMScheduler
from test_datamodule import make_stores
from trained import losses_of

from diffgar.batch import Batch
from diffgar.dataloading.batches import BatchOptions, LatentBatches
from diffgar.errors import InputError
from diffgar.models.backbones.mlp import MLP
from diffgar.models.baselines import ContrastiveHeads, Regression
from diffgar.models.contrastive import info_nce
from diffgar.models.diffusion.loss_parts import Draws
from diffgar.models.diffusion.objective import Objective
from diffgar.models.encoders.base import pool
from diffgar.text_states import TextStates


@pytest.fixture(scope="module")
def batch_and_constants(tmp_path_factory):
    audio, text = make_stores(tmp_path_factory.mktemp("stores"))
    card = audio.card
    constants = {
        "latent_mean": torch.tensor(card.mean),
        "latent_std": torch.tensor(card.std),
        "null_text": torch.from_numpy(text.row(0)).float(),
        "num_frames": 4,
    }
    return LatentBatches(audio, text, "train", BatchOptions(num_frames=4, batch_size=8))[0], constants


def regression(constants, joint=True, **objective):
    torch.manual_seed(0)
    schedule = DDPMScheduler(prediction_type="sample", clip_sample=False)
    return Regression(
        MLP(6, 5, width=64, depth=2),
        schedule,
        Objective(**{"contrastive_weight": 0.1} | objective),
        joint=joint,
        **constants,
    )


def train(model, loss_of, steps=80):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_regression_falls_towards_the_latents_and_every_sample_is_the_same(batch_and_constants):
    batch, constants = batch_and_constants
    model = regression(constants)
    draws = Draws(torch.zeros(8, 4, 6), torch.zeros(8).long(), dropped=torch.zeros(8, dtype=torch.bool))
    losses = train(model, lambda: losses_of(model, model.normalised(batch), draws).total.mean())
    assert losses[-1] < 0.8 * losses[0]
    first, second = (model.generate(None, batch.text, [torch.Generator().manual_seed(s)] * 8, 4) for s in (0, 1))
    assert torch.equal(first, second)


def test_a_regression_refuses_negatives(batch_and_constants):
    batch, constants = batch_and_constants
    with pytest.raises(ValueError, match="no guidance"):
        regression(constants).generate(None, batch.text, [], 4, negatives=[(batch.text, 1.0)])


def test_a_regression_refuses_more_frames_than_it_was_trained_on(batch_and_constants):
    batch, constants = batch_and_constants
    model = regression(constants)
    assert model.generate(None, batch.text, []).shape[1] == model.num_frames == 4
    with pytest.raises(InputError, match="asked for 5 frames, trained on at most 4"):
        model.generate(None, batch.text, [], 5)


def test_contrastive_heads_learn_which_caption_belongs_to_which_track(batch_and_constants):
    batch, constants = batch_and_constants
    torch.manual_seed(0)
    model = ContrastiveHeads(text_dim=5, width=64, dim=16, dropout=0.0, **constants)
    model.log = lambda *args, **kwargs: None
    losses = train(model, partial(model.training_step, batch, 0))
    assert losses[-1] < 0.3 * losses[0]
    text = model.embed_text(batch.text)
    assert torch.allclose(text.norm(dim=-1), torch.ones(8), atol=1e-5)


def test_the_contrastive_term_is_of_what_retrieval_ranks(batch_and_constants):
    prediction, latents = torch.randn(2, 4, 4, 6)
    text = TextStates(torch.randn(4, 3, 5), torch.ones(4, 3, dtype=torch.bool))
    batch = Batch(latents, torch.ones(4, 4, dtype=torch.bool), text, torch.tensor([0, 1, 0, 2]), step=0)
    for joint in (True, False):
        model = regression(batch_and_constants[1], joint, contrastive_weight=1.0, contrastive_loss="info_nce")
        found = model.objective.contrastive_term(prediction, batch, model)
        scale = model.latent_mean if joint else 0
        views = (pool(x * model.latent_std + scale) for x in (prediction, latents))
        torch.testing.assert_close(found, info_nce(*views, groups=batch.track))
