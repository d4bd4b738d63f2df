"""Contrastive heads that learn to heed negations, and the batches that they learn from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_datamodule import make_stores

from diffgar.batch import NegatedBatch
from diffgar.dataloading.batches import BatchOptions, LatentBatches
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.dataloading.negated import NegatedBatches
from diffgar.errors import InputError
from diffgar.models.contrastive import against_others
from diffgar.models.encoders.base import TextEncoder
from diffgar.models.negated import NegatedHeads
from diffgar.text_states import TextStates

ATTRIBUTES = {"drums": ["rock", "jazz", "none"], "lead": ["harp", "flute"], "tempo": ["slow", "fast"]}


class Words(TextEncoder):
    """A caption's token states are those of its words, at random, and of whether they follow a "without"."""

    dim = 5

    def encode(self, captions):
        self.said = captions
        rows = [caption.replace(",", "").replace(".", "").split() for caption in captions]
        states = torch.zeros(len(rows), max(map(len, rows)), 5)
        for states_of, row in zip(states, rows, strict=True):
            for place, word in enumerate(row):
                vector = np.random.default_rng(list(word.encode())).normal(size=5)
                denied = place > 0 and row[place - 1] == "without"
                states_of[place] = torch.from_numpy(-vector if denied else vector)
        return TextStates(states, torch.tensor([[i < len(row) for i in range(states.shape[1])] for row in rows]))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    audio, text = make_stores(tmp_path_factory.mktemp("stores"))
    random = np.random.default_rng(0)
    for name, values in ATTRIBUTES.items():
        audio.rows[name] = [values[i] for i in random.integers(len(values), size=len(audio.rows))]
    text.rows["named"] = ["lead" if i % 2 else "" for i in range(len(text.rows))]
    return audio, text


def batches(stores, rank=(0, 1), attributes=tuple(ATTRIBUTES), size=8):
    encoder = Words()
    words = [list(attributes), lambda name, value: f"without {value}", encoder]
    return NegatedBatches(stores, "train", BatchOptions(6, size), rank, *words), encoder


def test_one_negation_is_true_of_its_track_and_the_other_is_not_and_neither_is_named(stores):
    (made, encoder), (audio, text) = batches(stores), stores
    told = []
    encoder.encode = lambda captions: told.append(captions) or Words().encode(captions)
    batch = made[3]
    for captions, true in zip(told, (True, False), strict=True):
        for said, track in zip(captions, batch.track.tolist(), strict=True):
            stem, value = said.split(", without ")
            name = next(name for name, values in ATTRIBUTES.items() if value in values)
            row = text.rows[text.rows["caption"] == stem].iloc[0]
            assert row["track_id"] == audio.rows["row_id"][track] and name not in row["named"].split("|")
            assert value != "none" and (audio.rows[name][track] != value) == true
    attribute, value = batch.absent.unbind(dim=1)
    assert (batch.values.gather(1, attribute[:, None]).squeeze(1) != value).all()


def test_negations_change_no_batch_and_two_processes_share_those_of_one(stores):
    whole = batches(stores)[0][5]
    plain = LatentBatches(*stores, "train", BatchOptions(6, 8))[5]
    assert torch.equal(whole.latents, plain.latents) and torch.equal(whole.text.hidden_states, plain.text.hidden_states)
    halves = [batches(stores, rank=(r, 2))[0][5] for r in range(2)]
    assert torch.equal(whole.absent, torch.cat([half.absent for half in halves]))
    moved = whole.to("cpu")
    assert isinstance(moved, NegatedBatch) and torch.equal(moved.said.hidden_states, whole.said.hidden_states)


def test_the_data_module_negates_captions_in_training_alone(stores):
    names = {
        "attributes": list(ATTRIBUTES),
        "negations": lambda name, value: f"without {value}",
        "text_encoder": Words(),
    }
    module = LatentDataModule(*(store.folder for store in stores), num_frames=6, batch_size=8, negated=names)
    module.audio, module.text = stores
    module.trainer = SimpleNamespace(global_rank=0, world_size=1)
    assert isinstance(module.batches("train")[0], NegatedBatch)
    assert not isinstance(module.batches("validation")[0], NegatedBatch)


def test_a_dataset_without_the_ground_truth_is_refused(stores):
    with pytest.raises(InputError, match="have no column 'mood'"):
        batches(stores, attributes=("lead", "mood"))


def test_queries_are_told_from_the_chosen_others_alone():
    queries, index, others = (F.normalize(torch.randn(4, 6), dim=1) for _ in range(3))
    chosen = torch.tensor([[True, True, False, False], [False] * 4, [False, False, False, True], [True] * 4])
    found = against_others(queries, index, others, chosen, temperature=0.2)
    for row in range(4):
        gaps = [(queries[row] @ (others[i] - index[row]) / 0.2).exp() for i in range(4) if chosen[row, i]]
        assert float(found[row]) == pytest.approx(float(torch.tensor([1.0, *gaps]).sum().log()), abs=1e-5)
    assert found[1] == 0


def test_heads_learn_to_heed_a_negation(stores):
    made, audio = batches(stores, size=12)[0], stores[0]
    constants = {
        "latent_mean": torch.tensor(audio.card.mean),
        "latent_std": torch.tensor(audio.card.std),
        "null_text": torch.zeros(1, 5),
        "num_frames": 6,
    }
    torch.manual_seed(0)
    model = NegatedHeads(5, width=32, dim=16, dropout=0.0, **constants)
    model.log = lambda *_, **__: None
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def preferred(batch):
        """How often a track prefers the caption with the true negation to that with the false one."""
        audio = model.embed_audio(model.means_of(batch))
        said, denied = ((model.embed_text(text) * audio).sum(dim=-1) for text in (batch.said, batch.denied))
        return (said > denied).float().mean().item()

    losses = []
    for step in range(120):
        loss = model.training_step(made[step], step)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert preferred(made[200]) > 0.85
    with pytest.raises(InputError, match="the batches have none; give datamodule.negated its attributes"):
        model.training_step(LatentBatches(*stores, "train", BatchOptions(6, 8))[0], 0)
