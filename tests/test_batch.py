"""Captions and batches: what joining, choosing and moving them keeps."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from diffgar.batch import Batch
from diffgar.text_states import TextStates, joined


def captions(lengths, embedding=True):
    """Token states of width 3, zero at padding."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    generator = torch.Generator().manual_seed(len(lengths))
    states = torch.randn(*mask.shape, 3, generator=generator) * mask.unsqueeze(-1)
    return TextStates(states, mask, torch.randn(len(lengths), 4) if embedding else None, num_truncated=1)


def make_batch():
    return Batch(torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool), captions([3, 1]), torch.arange(2), step=7)


def tensors_of(batch):
    text = batch.text
    return [batch.latents, batch.mask, batch.track, text.hidden_states, text.mask, text.embedding]


def test_joined_captions_keep_their_tokens_and_only_padding_is_added():
    one, other = captions([3, 1]), captions([5, 2, 4])
    found = joined([one, other])
    assert len(found) == 5 and found.hidden_states.shape == (5, 5, 3)
    for row, (text, i) in enumerate([(one, 0), (one, 1), (other, 0), (other, 1), (other, 2)]):
        assert torch.equal(found.hidden_states[row][found.mask[row]], text.hidden_states[i][text.mask[i]])
    assert not found.hidden_states[~found.mask].any()


def test_captions_are_chosen_by_slices_and_by_indices_that_repeat():
    text = captions([3, 1, 2])
    chosen = text.select(torch.tensor([2, 2, 0]))
    for name in ("hidden_states", "mask", "embedding"):
        every = getattr(text, name)
        assert torch.equal(getattr(chosen, name), every[[2, 2, 0]])
        assert torch.equal(getattr(text.select(slice(1, 3)), name), every[1:3])
    assert captions([3], embedding=False).select(slice(0, 1)).embedding is None


def test_captions_are_no_pair_to_be_unpacked():
    with pytest.raises(TypeError):
        _states, _mask = captions([3, 1])


def test_moving_captions_changes_the_type_of_their_token_states_alone():
    moved = captions([3, 1]).to("meta", torch.float16)
    assert moved.hidden_states.dtype == torch.float16 and moved.embedding.dtype == torch.float32
    assert moved.mask.dtype == torch.bool and moved.num_truncated == 1
    assert {x.device.type for x in (moved.hidden_states, moved.mask, moved.embedding)} == {"meta"}


def test_lightning_moves_a_batch_to_the_models_device():
    moved = pl.LightningModule().transfer_batch_to_device(make_batch(), torch.device("meta"), 0)
    assert isinstance(moved, Batch) and moved.step == 7 and len(moved) == 2
    assert {tensor.device.type for tensor in tensors_of(moved)} == {"meta"}


def test_a_loader_hands_a_batch_on_as_it_is():
    batch = make_batch()
    assert next(iter(DataLoader([batch], batch_size=None))) is batch
    (copied,) = DataLoader([batch], batch_size=None, num_workers=1)
    assert copied.step == 7
    assert all(torch.equal(*pair) for pair in zip(tensors_of(copied), tensors_of(batch), strict=True))


def test_all_of_a_batch_is_pinned(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    batch = make_batch()
    assert batch.pin_memory().step == 7
    assert {id(tensor) for tensor in pinned} == {id(tensor) for tensor in tensors_of(batch)}
