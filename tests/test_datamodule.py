"""Batches are a function of seed and step: resuming, or more processes, changes none of them."""

import numpy as np
import pandas as pd
import pytest
import torch

from diffgar.dataloading.card import Card, StoreError
from diffgar.dataloading.datamodule import LatentBatches, repeated
from diffgar.dataloading.latents import Store, TextStore
from diffgar.dataloading.store_writer import StoreWriter


def make_stores(folder, num_tracks=20, dim=6, text_dim=5, frames=(4, 12)):
    """An audio and a text store, three captions a track; two thirds of the tracks train, the rest validate."""
    random = np.random.default_rng(0)
    splits = ["validation" if i % 3 == 0 else "train" for i in range(num_tracks)]
    ids = [f"t{i}" for i in range(num_tracks)]
    about = {
        "dataset": "toy",
        "checkpoint_hash": "0",
        "frontend_version": 1,
        "layer": "last",
        "shard_size": 7,
    }
    tracks = pd.DataFrame({"row_id": ids, "track_id": ids, "split": splits})
    captions = pd.DataFrame(
        [
            {"row_id": f"{t}.{k}", "track_id": t, "caption": f"{t} {k}", "split": s}
            for t, s in zip(ids, splits, strict=True)
            for k in range(3)
        ]
    )
    null = pd.DataFrame([{"row_id": "", "track_id": "", "caption": "", "split": ""}])
    captions = pd.concat([null, captions], ignore_index=True).assign(caption_id=lambda frame: frame["row_id"])
    for name, plan, width, kind in (("audio", tracks, dim, "audio"), ("text", captions, text_dim, "text")):
        writer = StoreWriter(folder / name, Card(kind=kind, encoder=f"toy_{kind}", dim=width, **about), plan)
        for shard in writer.pending():
            rows = [plan["row_id"][i] for i in writer.rows_of(shard)]
            content = {i: random.normal(size=(random.integers(*frames), width)) for i in rows}
            embeddings = {i: random.normal(size=width) for i in rows} if kind == "text" else None
            writer.write_shard(shard, content, embeddings=embeddings)
        writer.finish()
    return Store(folder / "audio"), TextStore(folder / "text")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return make_stores(tmp_path_factory.mktemp("stores"))


def test_the_batch_of_a_step_is_always_the_same(stores):
    first, again = (LatentBatches(*stores, "train", 6, 8, seed=3)[11] for _ in range(2))
    assert all(torch.equal(torch.as_tensor(first[k]), torch.as_tensor(again[k])) for k in first)
    other = LatentBatches(*stores, "train", 6, 8, seed=4)[11]
    assert not torch.equal(first["latents"], other["latents"])


def test_two_processes_share_the_batch_of_one(stores):
    whole = LatentBatches(*stores, "train", 6, 8)[5]["latents"]
    halves = [LatentBatches(*stores, "train", 6, 4, rank=(r, 2))[5]["latents"] for r in range(2)]
    assert torch.equal(whole, torch.cat(halves))


def test_an_epoch_sees_every_track_once(stores):
    batches = LatentBatches(*stores, "train", 6, 4)
    num_tracks = len(batches.tracks)
    picks = np.concatenate([batches._picks(step) for step in range(-(-num_tracks // 4) * 2)])
    assert sorted(picks[:num_tracks]) == list(range(num_tracks))
    assert list(picks[:num_tracks]) != list(picks[num_tracks : 2 * num_tracks])


def test_a_track_is_given_with_its_own_captions(stores):
    audio, text = stores
    batches = LatentBatches(audio, text, "train", 6, 8)
    for track, rows in zip(batches.tracks, batches.captions, strict=True):
        assert set(text.rows["track_id"][rows]) == {audio.rows["track_id"][track]}
    shuffled = LatentBatches(audio, text, "train", 6, 8, shuffle_captions=True)
    own = [
        audio.rows["track_id"][t] in set(text.rows["track_id"][r])
        for t, r in zip(shuffled.tracks, shuffled.captions, strict=True)
    ]
    assert sum(own) < len(own) / 2


def test_a_split_that_is_not_there_is_refused_with_those_that_are(stores):
    with pytest.raises(StoreError, match="no track of split 'test'.*train.*validation"):
        LatentBatches(*stores, "test", 6, 8)


def test_a_short_track_is_repeated_to_the_end_where_asked_and_a_long_one_left_as_it_is(stores):
    masked, whole = (LatentBatches(*stores, "train", 9, 13, repeat_short=short)[0] for short in (False, True))
    lengths = masked["mask"].sum(dim=1)
    assert set(lengths.tolist()) & set(range(4, 9)) and 9 in lengths
    assert whole["mask"].all()
    for length, before, after in zip(lengths.tolist(), masked["latents"], whole["latents"], strict=True):
        assert all(torch.equal(after[frame], before[frame % length]) for frame in range(9))


def test_repeating_one_frame_fills_all():
    latents, mask = repeated(torch.tensor([[[1.0], [0], [0]]]), torch.tensor([[True, False, False]]))
    assert latents.flatten().tolist() == [1, 1, 1] and mask.all()
