"""Batches are a function of seed and step: resuming, or more processes, changes none of them."""

import dataclasses
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch

from diffgar.dataloading.batches import FRAMES, BatchOptions, LatentBatches, repeated
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.dataloading.store.writer import StoreWriter
from diffgar.errors import InputError
from diffgar.models.encoders.segments import segment_means


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


def tensors_of(batch):
    return [batch.latents, batch.mask, batch.track, batch.text.hidden_states, batch.text.mask]


def test_the_batch_of_a_step_is_always_the_same(stores):
    first, again = (LatentBatches(*stores, "train", BatchOptions(6, 8, seed=3))[11] for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(tensors_of(first), tensors_of(again), strict=True))
    assert first.step == again.step == 11
    other = LatentBatches(*stores, "train", BatchOptions(6, 8, seed=4))[11]
    assert not torch.equal(first.latents, other.latents)


def test_two_processes_share_the_batch_of_one(stores):
    whole = LatentBatches(*stores, "train", BatchOptions(6, 8))[5].latents
    halves = [LatentBatches(*stores, "train", BatchOptions(6, 8), rank=(r, 2))[5].latents for r in range(2)]
    assert torch.equal(whole, torch.cat(halves))


def test_an_epoch_sees_every_track_once(stores):
    batches = LatentBatches(*stores, "train", BatchOptions(6, 4))
    num_tracks = len(batches.tracks)
    picks = np.concatenate([batches._picks(step) for step in range(-(-num_tracks // 4) * 2)])
    assert sorted(picks[:num_tracks]) == list(range(num_tracks))
    assert list(picks[:num_tracks]) != list(picks[num_tracks : 2 * num_tracks])


def test_a_track_is_given_with_its_own_captions(stores):
    audio, text = stores
    batches = LatentBatches(audio, text, "train", BatchOptions(6, 8))
    for track, rows in zip(batches.tracks, batches.captions, strict=True):
        assert set(text.rows["track_id"][rows]) == {audio.rows["track_id"][track]}
    shuffled = LatentBatches(audio, text, "train", BatchOptions(6, 8, shuffle_captions=True))
    own = [
        audio.rows["track_id"][t] in set(text.rows["track_id"][r])
        for t, r in zip(shuffled.tracks, shuffled.captions, strict=True)
    ]
    assert sum(own) < len(own) / 2


def test_latents_that_are_all_the_same_are_nothing_to_train_on(stores):
    card = dataclasses.replace(stores[0].card, mean=[1.0] * 6, std=[1e-4] * 6)
    module = LatentDataModule.__new__(LatentDataModule)
    module.audio, module.text = SimpleNamespace(card=card, folder="here"), stores[1]
    module.options = BatchOptions(num_frames=4, batch_size=8)
    with pytest.raises(StoreError, match="here: the latents of all training tracks are the same, so that there is"):
        module.constants()


def test_a_split_that_is_not_there_is_refused_with_those_that_are(stores):
    with pytest.raises(StoreError, match="no track of split 'test'.*train.*validation"):
        LatentBatches(*stores, "test", BatchOptions(6, 8))


def test_a_short_track_is_repeated_to_the_end_where_asked_and_a_long_one_left_as_it_is(stores):
    masked, whole = (
        LatentBatches(*stores, "train", BatchOptions(9, 13, repeat_short=short))[0] for short in (False, True)
    )
    lengths = masked.mask.sum(dim=1)
    assert set(lengths.tolist()) & set(range(4, 9)) and 9 in lengths
    assert whole.mask.all()
    for length, before, after in zip(lengths.tolist(), masked.latents, whole.latents, strict=True):
        assert all(torch.equal(after[frame], before[frame % length]) for frame in range(9))


def test_repeating_one_frame_fills_all():
    latents, mask = repeated(torch.tensor([[[1.0], [0], [0]]]), torch.tensor([[True, False, False]]))
    assert latents.flatten().tolist() == [1, 1, 1] and mask.all()


def test_a_batch_says_of_which_track_each_sample_is(stores):
    audio, text = stores
    batch = LatentBatches(audio, text, "train", BatchOptions(6, 8))[2]
    assert batch.track.dtype == torch.int64
    for track, latents, mask in zip(batch.track.tolist(), batch.latents, batch.mask, strict=True):
        crop, whole = latents[mask].numpy(), audio.row(track)
        assert any(np.array_equal(whole[start : start + len(crop)], crop) for start in range(len(whole)))


def make_datamodule(stores, **options):
    audio, text = stores
    return LatentDataModule(str(audio.folder), str(text.folder), **{"num_frames": 6, "batch_size": 8} | options)


def test_no_more_frames_are_asked_for_than_the_longest_training_track_has(tmp_path, caplog):
    stores = make_stores(tmp_path)
    audio, text = stores
    train = (audio.rows["split"] == "train").to_numpy()
    longest = int(audio.lengths[train].max())
    assert make_datamodule(stores, num_frames=longest).num_frames == longest and not caplog.records
    datamodule = make_datamodule(stores, num_frames=64)
    assert datamodule.num_frames == datamodule.constants()["num_frames"] == longest
    assert f"num_frames is {longest}, not 64: the longest training track of" in caplog.text
    assert make_datamodule(stores, num_frames=64, repeat_short=True).num_frames == 64  # all frames are valid then


def test_a_longer_track_of_another_split_or_without_a_caption_does_not_count(tmp_path):
    audio, text = make_stores(tmp_path)
    lengths = dict(zip(audio.rows["row_id"], audio.lengths, strict=True))
    train = list(audio.rows["row_id"][audio.rows["split"] == "train"])
    ordered = sorted(train, key=lengths.get)
    text.rows.loc[text.rows["track_id"] == ordered[-1], "split"] = "elsewhere"
    text.rows.to_parquet(text.folder / "rows.parquet")
    longest = max(lengths[track] for track in train if track != ordered[-1])
    assert make_datamodule((audio, text), num_frames=64).num_frames == longest


@pytest.mark.parametrize("memory", ["ram", "map", "gpu"])
def test_only_the_splits_of_training_are_held_and_batches_are_the_same(tmp_path, memory):
    audio, text = make_stores(tmp_path)
    for store in (audio, text):
        store.rows.loc[store.rows["track_id"].isin(["t1", "t6", "t17"]), "split"] = "test"
        store.rows.to_parquet(store.folder / "rows.parquet")
    datamodule = make_datamodule((audio, text), memory=memory)
    datamodule.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    datamodule.setup("fit")
    for store, whole in ((datamodule.audio, audio), (datamodule.text, text)):
        left_out = whole.lengths[(whole.rows["split"] == "test").to_numpy()].sum()
        assert left_out > 0 and len(store.frames) == whole.card.num_frames - (left_out if memory != "map" else 0)
    assert np.array_equal(datamodule.text.row(0), text.row(0))  # the empty caption
    for split in ("train", "validation"):
        again = LatentBatches(audio, text, split, datamodule.options)[3]
        assert all(
            torch.equal(*pair) for pair in zip(*map(tensors_of, (datamodule.batches(split)[3], again)), strict=True)
        )


@pytest.mark.parametrize("memory", ["ram", "map"])
def test_a_worker_process_makes_the_same_batches_and_is_sent_no_frames(tmp_path, memory):
    stores = make_stores(tmp_path, num_tracks=60, dim=256)
    stores[0].hold(memory=memory)
    batches = LatentBatches(*stores, "train", BatchOptions(6, 8))
    sent = pickle.dumps(batches)
    assert len(sent) < stores[0].frames.nbytes / 5
    assert all(
        torch.equal(*pair) for pair in zip(tensors_of(pickle.loads(sent)[4]), tensors_of(batches[4]), strict=True)
    )


@pytest.mark.parametrize("memory", ["ram", "map", "gpu"])  # a tensor on the CPU stands for one on a GPU
@pytest.mark.parametrize("num_frames", [1, 3, 6, 30])
def test_whole_tracks_are_the_means_of_their_equal_parts(tmp_path, memory, num_frames):
    audio, text = make_stores(tmp_path)
    batch = LatentBatches(audio.hold("cpu", memory), text, "train", BatchOptions(num_frames, 8, frames="whole"))[2]
    assert batch.latents.shape == (8, num_frames, 6) and batch.latents.dtype == torch.float16 and batch.mask.all()
    for track, latents in zip(batch.track.tolist(), batch.latents, strict=True):
        expected = segment_means(torch.from_numpy(audio.row(track).astype(np.float32)), num_frames)
        assert torch.allclose(latents.float(), expected, atol=4e-3)


def test_whole_tracks_are_those_and_have_the_captions_of_the_crops(stores):
    crop, whole = (LatentBatches(*stores, "train", BatchOptions(6, 8, frames=frames))[3] for frames in FRAMES)
    assert torch.equal(crop.track, whole.track)
    assert torch.equal(crop.text.hidden_states, whole.text.hidden_states)


def test_whole_tracks_have_as_many_frames_as_the_config_says_whatever_the_longest_has(tmp_path, caplog):
    datamodule = make_datamodule(make_stores(tmp_path), num_frames=64, frames="whole")
    datamodule.keep_frames(5)
    assert datamodule.num_frames == datamodule.constants()["num_frames"] == 64 and not caplog.records


def test_whole_tracks_are_not_repeated_and_another_word_is_refused(stores):
    with pytest.raises(InputError, match=r"set datamodule\.repeat_short=false"):
        make_datamodule(stores, frames="whole", repeat_short=True)
    with pytest.raises(InputError, match="datamodule.frames is 'all'; choose one of crop, whole"):
        make_datamodule(stores, frames="all")


def mixed(folder, datasets, num_tracks=20):
    """Stores whose i-th track is of the i-th of `datasets`, in turn."""
    audio, text = make_stores(folder, num_tracks)
    audio.rows["_dataset"] = [datasets[i % len(datasets)] for i in range(num_tracks)]
    audio.rows["weight"], audio.rows["dataset"] = [1000.0] + [0.0] * (num_tracks - 1), "theirs"
    return audio, text


def test_datasets_of_a_mix_are_sampled_as_often_as_their_weights_say_however_large_they_are(tmp_path):
    audio, text = mixed(tmp_path, ["large"] * 4 + ["small"])
    batches = LatentBatches(audio, text, "train", BatchOptions(6, 4000, weights={"large": 1, "small": 3}))
    counts = audio.rows["_dataset"].iloc[batches.tracks].value_counts()
    assert counts["large"] > 2 * counts["small"]
    picked = audio.rows["_dataset"].iloc[batches.tracks[batches._picks(0)]]
    assert (picked == "small").mean() == pytest.approx(0.75, abs=0.05)


def test_columns_of_the_users_own_named_weight_and_dataset_change_nothing(tmp_path):
    audio, text = mixed(tmp_path, ["one"])
    batches = LatentBatches(audio, text, "train", BatchOptions(6, 4))
    num_tracks = len(batches.tracks)
    assert sorted(np.concatenate([batches._picks(step) for step in range(10)])[:num_tracks]) == list(range(num_tracks))


@pytest.mark.parametrize("weights", [{"a": 1}, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 0}, {"b": 2, "c": 1}])
def test_weights_of_other_datasets_than_those_of_the_store_are_refused(tmp_path, weights):
    with pytest.raises(StoreError, match=r"holds the datasets \['a', 'b'\], but data.weights is"):
        LatentBatches(*mixed(tmp_path, ["a", "b"]), "train", BatchOptions(6, 4, weights=weights))


def test_what_a_mix_has_no_more_needs_no_weight(tmp_path):
    audio, text = mixed(tmp_path, ["a", "b"])
    audio.rows.loc[audio.rows["_dataset"] == "b", "split"] = ""  # as extraction leaves them in the store
    batches = LatentBatches(audio, text, "train", BatchOptions(6, 4, weights={"a": 2}))
    assert batches.weights.sum() == pytest.approx(1)


def test_a_single_dataset_may_have_a_weight(stores):
    batches = LatentBatches(*stores, "train", BatchOptions(6, 4, weights={"toy": 2}))
    assert batches.weights == pytest.approx(np.full(len(batches.tracks), 1 / len(batches.tracks)))


@pytest.mark.parametrize("num_tracks", [2, 3])
def test_one_training_track_makes_batches_of_any_size(tmp_path, num_tracks):
    batches = LatentBatches(*make_stores(tmp_path, num_tracks), "train", BatchOptions(6, 16))
    batch = batches[3]
    assert len(batch) == 16 and set(batch.track.tolist()) == set(range(1, num_tracks))


def test_validation_is_empty_where_no_track_of_it_has_a_caption(tmp_path):
    audio, text = make_stores(tmp_path)
    text.rows.loc[text.rows["split"] == "validation", "split"] = "elsewhere"
    text.rows.to_parquet(text.folder / "rows.parquet")
    assert make_datamodule((audio, text)).val_dataloader() == []


def test_the_flat_options_of_saved_configs_are_taken_and_no_others(stores):
    saved = {"seed": 3, "num_workers": 0, "memory": "map", "weights": None, "shuffle_captions": False}
    saved |= {"expect": {"audio": {"dim": 6}, "text": {"dim": 5}}, "remedy": "extract it", "repeat_short": True}
    datamodule = make_datamodule(stores, **saved)
    assert datamodule.options == BatchOptions(6, 8, seed=3, repeat_short=True)
    with pytest.raises(TypeError, match="'num_epochs'"):
        make_datamodule(stores, num_epochs=3)


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(stores):
    with pytest.raises(InputError, match="batch_size 8 does not divide among 3 processes"):
        LatentBatches(*stores, "train", BatchOptions(6, 8), rank=(0, 3))
