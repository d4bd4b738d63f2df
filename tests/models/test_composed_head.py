"""The head for composed requests, its batches, and its way back from a checkpoint."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from test_datamodule import make_stores

from diffgar.batch import ComposedBatch
from diffgar.dataloading.composed import ComposedBatches, ComposedDataModule
from diffgar.errors import InputError
from diffgar.models.composed import ComposedHead
from diffgar.models.ldm import warmup_cosine
from diffgar.text_states import TextStates


class Letters:
    """A text encoder: a caption's only token state counts its letters a to e."""

    def encode(self, captions):
        counts = [[caption.count(letter) for letter in "abcde"] for caption in captions]
        mask = torch.ones(len(captions), 1, dtype=torch.bool)
        return TextStates(torch.tensor(counts).float().unsqueeze(1), mask)


def head(joint=False, dim=6, text_dim=5) -> ComposedHead:
    torch.manual_seed(0)
    constants = {
        "latent_mean": torch.full((dim,), 0.5),
        "latent_std": torch.ones(dim),
        "null_text": torch.ones(1, text_dim),
    }
    return ComposedHead(text_dim, width=32, dropout=0.0, joint=joint, num_frames=4, **constants)


def requests(tracks: pd.DataFrame) -> pd.DataFrame:
    """Every track of a split to the next one."""
    rows = []
    for split, own in tracks.groupby("split"):
        ids = list(own["row_id"])
        rows += [(a, b, "ab" if n % 2 else "cde", split) for n, (a, b) in enumerate(zip(ids, ids[1:], strict=False))]
    return pd.DataFrame(rows, columns=["source_clip_id", "target_clip_id", "primary_edit", "split"])


@pytest.fixture
def datamodule(tmp_path):
    make_stores(tmp_path)
    folders = {"audio_folder": str(tmp_path / "audio"), "text_folder": str(tmp_path / "text")}
    made = ComposedDataModule(requests, Letters(), **folders, num_frames=4, batch_size=6, seed=3)
    made.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=3)
    return made


def test_a_batch_has_the_means_of_both_tracks_and_the_instruction(datamodule):
    batches, table = datamodule.composed("train"), requests(datamodule.audio.rows)
    table = table[table["split"] == "train"].reset_index(drop=True)
    batch = batches[0]
    ids = datamodule.audio.rows["row_id"]
    row_of = {row.target_clip_id: row for row in table.itertuples()}
    for n in range(len(batch)):
        row = row_of[ids[int(batch.track[n])]]
        source, target = (ids[ids == clip].index.to_numpy() for clip in (row.source_clip_id, row.target_clip_id))
        torch.testing.assert_close(batch.source[n], datamodule.audio.means(source)[0])
        torch.testing.assert_close(batch.target[n], datamodule.audio.means(target)[0])
        expected = Letters().encode([row.primary_edit]).hidden_states[0]
        torch.testing.assert_close(batch.text.hidden_states[n].float(), expected)


def test_batches_depend_on_seed_and_step_alone_and_processes_share_them(datamodule):
    whole = datamodule.composed("train")
    parts = [
        ComposedBatches(whole.means, whole.positions, whole.texts, whole.batch_size, whole.seed, (rank, 2))[4]
        for rank in range(2)
    ]
    assert torch.equal(whole[4].track, torch.cat([part.track for part in parts]))
    assert torch.equal(whole[4].source, whole[4].source) and not torch.equal(whole[4].track, whole[5].track)
    size = len(whole.positions)
    steps = torch.cat([whole[step].track for step in range(size)])  # as many epochs as a batch has requests
    assert all(np.bincount(steps)[whole.positions[:, 1]] == whole.batch_size)


def test_a_split_without_requests_is_refused_in_training_and_skipped_in_validation(datamodule):
    datamodule.requests = datamodule.requests.assign(split="train")
    assert datamodule.val_dataloader() == []
    with pytest.raises(InputError, match="no composed request in split 'test' has latents"):
        datamodule.composed("test")


def test_the_head_learns_which_way_an_instruction_goes():
    """Two instructions, each a move of its own: after training both find the moved track among 64."""
    generator = torch.Generator().manual_seed(0)
    model, moves = head(joint=True), torch.randn(2, 6, generator=generator)
    texts = Letters().encode(["a", "e"])

    def batch(step: int) -> ComposedBatch:
        source, which = torch.randn(64, 6, generator=generator), torch.arange(64) % 2
        return ComposedBatch(source, source + 2 * moves[which], texts.select(which), torch.arange(64), step)

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(150):
        optimizer.zero_grad()
        model.loss(batch(step)).backward()
        optimizer.step()
    held_out = batch(150)
    with torch.no_grad():
        similarity = model.compose(held_out.source, held_out.text) @ model.ranked(held_out.target).T
        ignoring = model.ranked(held_out.source) @ model.ranked(held_out.target).T
    right = torch.arange(64)
    found = (similarity.argmax(dim=1) == right).float().mean()
    assert found > 0.7 > 2 * (ignoring.argmax(dim=1) == right).float().mean()


@pytest.mark.parametrize("joint", [True, False])
def test_queries_are_unit_vectors_from_the_centre(joint):
    model = head(joint=joint)
    means = torch.randn(3, 6)
    with torch.no_grad():
        queries = model.eval().compose(means, Letters().encode(["a", "b", "c"]))
    torch.testing.assert_close(queries.norm(dim=1), torch.ones(3))
    centre = torch.zeros(6) if joint else model.latent_mean
    torch.testing.assert_close(model.ranked(means), torch.nn.functional.normalize(means - centre, dim=1))


def test_it_trains_through_lightning_and_ignores_padding(datamodule):
    model = ComposedHead(
        5,
        width=8,
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
        lr_scheduler=partial(warmup_cosine, warmup_steps=1, max_steps=3, min_lr=0),
        **datamodule.constants(),
    )
    before = model.change[1].weight.clone()
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, datamodule=datamodule)
    assert not torch.equal(before, model.change[1].weight)
    text, means = Letters().encode(["aab"]), torch.randn(1, 6)
    padded = text.padded_to(4)
    with torch.no_grad():
        torch.testing.assert_close(model.eval().compose(means, padded), model.compose(means, text))
