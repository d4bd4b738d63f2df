"""A mix reads the stores of its parts in place, and yields what a store of its own would."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from test_latents import card, latents_of, plan
from test_store_jobs import fill, tracks

from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.mix import write_mix
from diffgar.dataloading.store.mixed import JoinedFrames
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.dataloading.store.writer import StoreWriter

PARTS = {"a": tracks(*range(7)), "b": tracks(9, 3, 8, 12, 5)}


def audio_table(part):
    table = PARTS[part]
    return table.assign(track_id=table["row_id"], _key=f"file of {part}")


def text_table(part):
    rows = [{"row_id": "<empty>", "track_id": "", "caption": "", "split": "", "_key": "empty"}]
    for i, row in PARTS[part].iterrows():
        for k in range(1 + i % 2):
            rows.append({"row_id": f"{row['row_id']}#{k}", "track_id": row["row_id"], "caption": f"{i} {k}"})
            rows[-1] |= {"split": row["split"], "_key": f"{part}{i}{k}"}
    return pd.DataFrame(rows)


def content_of(row_id, kind):
    """Latents that tell parts apart: those of `b` are twice the others'."""
    number = sum(map(ord, row_id))
    return np.random.default_rng(number).normal(size=(2 + number % 5, 6 if kind == "audio" else 5)).astype(np.float32)


def write(folder, table, kind, part=None):
    """A store of its own; part: where ids have no part's name before them yet."""
    about = {"kind": kind, "encoder": kind, "dim": 6 if kind == "audio" else 5}
    writer = StoreWriter(folder, card(dataset=folder.parent.name, **about), table)
    for shard in writer.pending():
        ids = [writer.ids[i] for i in writer.rows_of(shard)]
        latents = {i: content_of(i if part is None or i == "<empty>" else f"{part}/{i}", kind) for i in ids}
        embeddings = {i: latents[i][0, :3] for i in ids} if kind == "text" else None
        extra = {i: {"_audio": f"hash of {latents[i].sum()}"} for i in ids} if kind == "audio" else None
        writer.write_shard(shard, latents, embeddings=embeddings, extra=extra, counts={"num_truncated": 2})
    assert writer.finish()


def table_of_mix(kind):
    """The mix's table, as `datasets.tracks.mix` names its rows."""
    tables = []
    for part in PARTS:
        table = (audio_table if kind == "audio" else text_table)(part)
        own = table[table["row_id"] != "<empty>"]
        tables.append(own.assign(row_id=part + "/" + own["row_id"], track_id=part + "/" + own["track_id"]))
        if kind == "audio":
            tables[-1]["_dataset"] = part
    first = [text_table("a")[:1]] if kind == "text" else []
    return pd.concat([*first, *tables], ignore_index=True)


@pytest.fixture
def latents(tmp_path):
    """The parts' stores, the mix that reads them, and one of the same rows that has its own frames."""
    for kind in ("audio", "text"):
        for part in PARTS:
            write(tmp_path / part / kind, (audio_table if kind == "audio" else text_table)(part), kind, part)
        about = {"kind": kind, "encoder": kind, "dim": 6 if kind == "audio" else 5, "dataset": "mix"}
        write_mix(tmp_path / "mix" / kind, card(**about), table_of_mix(kind), parts(tmp_path, kind))
        write(tmp_path / "extracted" / kind, table_of_mix(kind), kind)
    return tmp_path


def parts(folder, kind):
    return {part: folder / part / kind for part in PARTS}


def datamodule(folder):
    about = {"weights": {"a": 1, "b": 3}, "seed": 2, "num_frames": 4, "batch_size": 8}
    return LatentDataModule(str(folder / "audio"), str(folder / "text"), **about)


def test_a_mix_in_place_yields_what_an_extracted_mix_does(latents):
    one, other = datamodule(latents / "mix"), datamodule(latents / "extracted")
    assert not (latents / "mix/audio/frames.f16").exists()
    for name, value in other.constants().items():
        assert torch.equal(torch.as_tensor(one.constants()[name]), torch.as_tensor(value))
    for each in (one, other):
        each.trainer = SimpleNamespace(global_rank=0, world_size=1)
    for split in ("train", "test"):
        for step in range(4):
            mine, theirs = (each.batches(split)[step] for each in (one, other))
            assert torch.equal(mine.latents, theirs.latents) and torch.equal(mine.mask, theirs.mask)
            assert torch.equal(mine.text.hidden_states, theirs.text.hidden_states)
            assert torch.equal(mine.track, theirs.track)


def test_its_rows_and_embeddings_are_those_of_an_extracted_mix_wherever_the_frames_are_held(latents):
    for kind, open_store in (("audio", Store), ("text", TextStore)):
        mix, extracted = open_store(latents / "mix" / kind), open_store(latents / "extracted" / kind)
        pd.testing.assert_frame_equal(mix.rows, extracted.rows)
        for memory in ("map", "ram"):
            mix.hold(memory=memory)
            assert all(np.array_equal(mix.row(i), extracted.row(i)) for i in range(len(mix)))
    assert torch.equal(mix.embeddings, extracted.embeddings)
    assert mix.card.notes["num_truncated"] == sum(
        TextStore(latents / part / "text").card.notes["num_truncated"] for part in PARTS
    )


def test_a_part_that_grows_or_is_compacted_leaves_the_mix_as_it_is(latents):
    before = [Store(latents / "mix/audio").row(i) for i in range(12)]
    larger = pd.concat([audio_table("a")[::-1], audio_table("b").iloc[2:3].assign(row_id="new")], ignore_index=True)
    write(latents / "a/audio", larger, "audio", "a")
    after = Store(latents / "mix/audio")
    assert all(np.array_equal(after.row(i), before[i]) for i in range(12))
    write(latents / "a/audio", larger[1:], "audio", "a")
    with pytest.raises(StoreError, match="1 rows of this mix, the first 'a/track6', .* run extract_dataset.py"):
        Store(latents / "mix/audio")
    smaller = table_of_mix("audio").drop(index=6).reset_index(drop=True)
    write_mix(
        latents / "mix/audio", card(kind="audio", encoder="audio", dataset="mix"), smaller, parts(latents, "audio")
    )
    assert len(Store(latents / "mix/audio")) == 11


def test_what_changed_in_a_part_is_not_taken_for_what_it_was(latents):
    changed = audio_table("b").assign(_key=["other", *["file of b"] * 4])
    write(latents / "b/audio", changed, "audio", "b")
    with pytest.raises(StoreError, match="the first 'b/track9', have changed"):
        Store(latents / "mix/audio")


def test_a_part_of_another_encoder_or_that_is_damaged_is_refused(latents):
    path = latents / "b/audio/frames.f16"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + b"00")
    with pytest.raises(StoreError, match="b/audio/frames.f16: shard 1 .* is damaged"):
        Store(latents / "mix/audio").hold()
    path.write_bytes(whole)
    made = Card.load(latents / "b/audio")
    made.checkpoint_hash = "another"
    made.save(latents / "b/audio")
    with pytest.raises(StoreError, match="b/audio: made with checkpoint_hash 'another'"):
        Store(latents / "mix/audio")


def test_all_latents_may_be_moved_to_another_folder(latents, tmp_path):
    shutil.move(latents / "mix", tmp_path / "elsewhere/mix")
    for part in PARTS:
        shutil.move(latents / part, tmp_path / "elsewhere" / part)
    assert len(Store(tmp_path / "elsewhere/mix/audio")) == 12


def test_a_mix_that_is_up_to_date_is_not_written_again(latents, monkeypatch):
    about = card(kind="audio", encoder="audio", dataset="mix")
    time = (latents / "mix/audio/card.json").stat().st_mtime_ns
    write_mix(latents / "mix/audio", about, table_of_mix("audio"), parts(latents, "audio"))
    assert (latents / "mix/audio/card.json").stat().st_mtime_ns == time


def test_rows_that_a_part_left_out_are_left_out_with_the_reason(tmp_path):
    writer, silent = StoreWriter(tmp_path / "a/audio", card(), plan(3)), {"path": "1.wav", "reason": "silent"}
    kept = {row_id: latents_of(row_id) for row_id in ("track0", "track2")}
    writer.write_shard(0, kept, [{"row_id": "track1"} | silent])
    assert writer.finish() and fill(StoreWriter(tmp_path / "b/audio", card(), plan(2)))
    rows = plan(3).assign(_key="")
    both = pd.concat([rows.assign(row_id="a/" + rows["row_id"]), rows[:2].assign(row_id="b/" + rows["row_id"][:2])])
    write_mix(tmp_path / "mix/audio", card(dataset="mix"), both.reset_index(drop=True), parts(tmp_path, "audio"))
    store = Store(tmp_path / "mix/audio")
    assert list(store.rows["row_id"]) == ["a/track0", "a/track2", "b/track0", "b/track1"]
    assert (
        pd.read_csv(tmp_path / "mix/audio/skipped.csv")["row_id"].tolist() == ["a/track1"]
        and store.card.num_skipped == 1
    )


def test_the_folder_of_a_mix_takes_no_store_of_its_own(latents):
    with pytest.raises(StoreError, match="holds the store of a mix"):
        write(latents / "mix" / "audio", table_of_mix("audio"), "audio")


def test_frames_of_several_arrays_are_indexed_as_one():
    blocks = [np.random.default_rng(i).normal(size=(n, 3)).astype(np.float16) for i, n in enumerate((4, 1, 6))]
    one, joined = np.concatenate(blocks), JoinedFrames(blocks)
    assert joined.shape == one.shape and np.array_equal(np.array(joined), one)
    index = np.random.default_rng(9).integers(11, size=(5, 7))
    assert np.array_equal(joined[index], one[index])
    for start in range(12):
        for stop in range(start, 12):
            assert np.array_equal(joined[start:stop], one[start:stop])
