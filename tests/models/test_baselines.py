"""The rivals of diffusion learn the toy pairs through the same data and evaluator."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from test_datamodule import make_stores
from trained import losses_of

from diffgar.batch import Batch
from diffgar.dataloading.batches import BatchOptions, LatentBatches
from diffgar.errors import InputError
from diffgar.evaluation.metrics.ranks import ranks
from diffgar.evaluation.metrics.recall import retrieval_metrics
from diffgar.evaluation.projected import projected_index, projected_queries
from diffgar.evaluation.queries import task_of, track_positions
from diffgar.evaluation.validation import ValidationRetrieval
from diffgar.models.backbones.mlp import MLP
from diffgar.models.baselines import ContrastiveHeads, Regression
from diffgar.models.contrastive import info_nce
from diffgar.models.diffusion.loss_parts import Draws
from diffgar.models.diffusion.objective import Objective
from diffgar.models.encoders.base import pool
from diffgar.models.encoders.segments import segment_means
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


def test_one_segment_is_the_mean_of_tokens_and_frames(batch_and_constants):
    batch, constants = batch_and_constants
    torch.manual_seed(0)
    model = ContrastiveHeads(text_dim=5, width=64, dim=16, dropout=0.0, **constants)
    model.log = lambda *args, **kwargs: None
    states, tokens = batch.text.hidden_states, batch.text.mask.unsqueeze(-1).float()
    text = F.normalize(model.text_head((states * tokens).sum(dim=1) / tokens.sum(dim=1)), dim=-1)
    frames = batch.mask.unsqueeze(-1).float()
    means = (batch.latents.float() * frames).sum(dim=1) / frames.sum(dim=1)
    tracks = F.normalize(model.audio_head((means - model.latent_mean) / model.latent_std), dim=-1)
    assert torch.equal(model.embed_text(batch.text), text) and torch.equal(model.embed_audio(means), tracks)
    loss = info_nce(text, tracks, 1 / model.log_scale.exp(), groups=batch.track).mean()
    assert torch.equal(model.training_step(batch, 0), loss)


def courses():
    """Every ordered pair of 5 attributes: sequences (20, 6, D) whose halves have one each, and captions that say so.

    The states of a caption's two words are marked, in two further dimensions, by the word's place.
    """
    generator = torch.Generator().manual_seed(0)
    first, second = torch.tensor([(a, b) for a in range(5) for b in range(5) if a != b]).T
    latents, words = torch.randn(5, 6, generator=generator), torch.randn(5, 8, generator=generator)
    halves = torch.stack([latents[first], latents[second]], dim=1)  # (20, 2, 6)
    states = torch.cat([torch.stack([words[first], words[second]], dim=1), torch.eye(2).expand(20, -1, -1)], dim=-1)
    text = TextStates(states, torch.ones(20, 2, dtype=torch.bool))
    sequences = halves.repeat_interleave(3, dim=1)
    return Batch(sequences, torch.ones(20, 6, dtype=torch.bool), text, torch.arange(20), step=0)


@pytest.mark.parametrize("segments", [1, 2])
def test_heads_over_segments_tell_a_track_from_its_reversed_twin_and_those_over_means_cannot(segments):
    torch.manual_seed(0)
    constants = {"latent_mean": torch.zeros(6), "latent_std": torch.ones(6), "null_text": torch.zeros(1, 10)}
    model = ContrastiveHeads(10, width=64, dim=16, dropout=0.0, segments=segments, num_frames=6, **constants)
    model.log = lambda *args, **kwargs: None
    batch = courses()
    train(model, partial(model.training_step, batch, 0), steps=60)
    means = segment_means(batch.latents, 2) if segments == 2 else batch.latents.mean(dim=1)
    tracks = model.embed_audio(means)
    similarity = model.embed_text(batch.text) @ tracks.T
    assert tracks.shape == (20, segments * 16)
    twin = torch.cdist(batch.latents.flip(1).flatten(1), batch.latents.flatten(1)).argmin(dim=1)
    margin = similarity.diagonal() - similarity[torch.arange(20), twin]
    assert (margin > 0.1).all() if segments == 2 else (margin.abs() < 1e-5).all()
    if segments == 2:
        assert (similarity.argmax(dim=1) == torch.arange(20)).all()


def test_heads_over_segments_refuse_another_number_of_parts(batch_and_constants):
    model = ContrastiveHeads(text_dim=5, width=16, dim=8, segments=2, **batch_and_constants[1])
    for shape in ((3, 6), (3, 4, 6)):
        with pytest.raises(InputError, match=r"of 2 segments project .* \(N, 2, D\), found \(3, "):
            model.embed_audio(torch.zeros(shape))


def test_heads_over_segments_are_validated_and_evaluated_by_their_own_parts(tmp_path):
    audio, text = make_stores(tmp_path, 20)
    constants = {"latent_mean": torch.zeros(6), "latent_std": torch.ones(6), "null_text": torch.zeros(1, 5)}
    model = ContrastiveHeads(5, width=16, dim=8, segments=3, num_frames=4, **constants).eval()
    task = task_of("t", audio, text, "validation")
    parts = [segment_means(torch.from_numpy(audio.row(at)).float(), 3) for at in track_positions(audio, task)]
    index = projected_index(model, audio, task)
    torch.testing.assert_close(index, model.embed_audio(torch.stack(parts)).detach())
    validation = ValidationRetrieval(audio, text, sampler=None)
    queries = projected_queries(model, text, validation.positions)[0]
    assert queries.shape[1] == index.shape[1] == 24
    expected = retrieval_metrics(ranks(queries, index, validation.targets), pool_size=len(index))
    found = validation(model)
    assert found == {name: expected[name] for name in found}


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
