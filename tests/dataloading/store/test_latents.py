"""The latent store: what is written is read, and what is damaged or another's is refused by name."""

import errno
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from diffgar.dataloading.store.card import Card, StoreError, write_atomically
from diffgar.dataloading.store.half import FEWEST
from diffgar.dataloading.store.holding import on_device
from diffgar.dataloading.store.memory import available_memory
from diffgar.dataloading.store.moments import Moments
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.dataloading.store.writer import StoreWriter
from diffgar.errors import InputError


def card(**changes) -> Card:
    about = {
        "kind": "audio",
        "dataset": "toy",
        "encoder": "toy_encoder",
        "checkpoint_hash": "c0ffee",
        "layer": "last",
    }
    return Card(**{**about, "frontend_version": 1, "dim": 6, "shard_size": 4, **changes})


def plan(num_rows: int = 10) -> pd.DataFrame:
    splits = ["train" if i % 3 else "test" for i in range(num_rows)]
    return pd.DataFrame({"row_id": [f"track{i}" for i in range(num_rows)], "split": splits})


def latents_of(row_id: str, dim: int = 6) -> np.ndarray:
    random = np.random.default_rng(int(row_id.removeprefix("track")))
    return random.normal(size=(random.integers(1, 9), dim)).astype(np.float32)


def write(folder, shards=None, skip=(), card_=None, num_rows=10) -> StoreWriter:
    writer = StoreWriter(folder, card_ or card(), plan(num_rows))
    for shard in writer.pending() if shards is None else shards:
        ids = [writer.plan["row_id"][i] for i in writer.rows_of(shard)]
        skipped = [{"row_id": i, "path": f"{i}.wav", "reason": "silent"} for i in ids if i in skip]
        writer.write_shard(shard, {i: latents_of(i) for i in ids if i not in skip}, skipped)
    writer.finish()
    return writer


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    write(tmp_path)
    store = Store(tmp_path)
    assert list(store.rows["row_id"]) == [f"track{i}" for i in range(10)]
    for i in range(10):
        assert np.array_equal(store.row(i), latents_of(f"track{i}").astype(np.float16))


def test_the_cards_statistics_are_those_of_the_train_split(tmp_path):
    write(tmp_path)
    train = np.concatenate([latents_of(f"track{i}").astype(np.float16) for i in range(10) if i % 3]).astype(float)
    assert np.allclose(Card.load(tmp_path).mean, train.mean(0), atol=1e-6)
    assert np.allclose(Card.load(tmp_path).std, train.std(0), atol=1e-6)


def test_a_crop_is_the_tracks_own_frames_and_a_short_track_is_masked(tmp_path):
    write(tmp_path)
    store = Store(tmp_path).hold()
    rows = np.arange(10)
    crops, mask = store.gather(rows, np.zeros(10, dtype=np.int64), 5)
    for i in rows:
        length = min(5, len(store.row(i)))
        assert mask[i].sum() == length
        assert torch.equal(crops[i, :length], torch.from_numpy(store.row(i)[:length].copy()))
        assert (crops[i, length:] == 0).all()


def test_what_is_read_does_not_depend_on_where_the_frames_are_held(tmp_path):
    write(tmp_path)
    mapped, tensor = Store(tmp_path), Store(tmp_path)
    tensor.frames = on_device(tensor.frames, [(0, len(tensor.frames))], torch.device("cpu"), block=7)  # as on a GPU
    rows = np.arange(10)
    assert torch.equal(mapped.means(rows), tensor.means(rows))
    assert all(np.array_equal(mapped.row(i), tensor.row(i)) for i in rows)
    starts, num_frames = np.zeros_like(rows), int(mapped.lengths.max())
    for one, other in zip(*(store.gather(rows, starts, num_frames) for store in (mapped, tensor)), strict=True):
        assert torch.equal(one, other)


def test_a_rerun_writes_only_the_shards_that_are_missing(tmp_path):
    write(tmp_path / "a", shards=[1])
    writer = StoreWriter(tmp_path / "a", card(), plan())
    assert writer.pending() == [0, 2]
    with pytest.raises(StoreError, match="unfinished; run extract"):
        Store(tmp_path / "a")
    write(tmp_path / "a"), write(tmp_path / "b")
    for name in ("frames.f16", "offsets.npy", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_rows_left_out_are_listed_with_their_reason(tmp_path):
    write(tmp_path, skip={"track3"})
    assert "track3" not in set(Store(tmp_path).rows["row_id"])
    skipped = pd.read_csv(tmp_path / "skipped.csv")[["row_id", "path", "reason"]]
    assert skipped.to_dict("records") == [{"row_id": "track3", "path": "track3.wav", "reason": "silent"}]


def test_a_writer_killed_at_any_moment_leaves_whole_shards(tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_latents import *\n"
        f"writer = StoreWriter({str(tmp_path)!r}, card(shard_size=1), plan(5000))\n"
        "for s in writer.pending(): writer.write_shard(s, {f'track{s}': latents_of(f'track{s}')})"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("writing/*/*.npz"))) < 20 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    writer = StoreWriter(tmp_path, card(shard_size=1), plan(5000))
    done = sorted(set(range(5000)) - set(writer.pending()))
    assert 20 <= len(done) < 5000
    for shard in done:
        assert np.array_equal(
            np.load(writer.generation.path_of(shard))["frames"], latents_of(f"track{shard}").astype(np.float16)
        )


@pytest.mark.parametrize("field", ["encoder", "checkpoint_hash", "hop_seconds", "frontend_version"])
def test_a_store_of_another_encoder_is_neither_extended_nor_used(tmp_path, field):
    write(tmp_path)
    changed = 99 if field != "encoder" else "clap"
    with pytest.raises(StoreError, match=f"{field}.*99|{field}.*clap"):
        StoreWriter(tmp_path, card(**{field: changed}), plan())
    with pytest.raises(StoreError, match=f"made with {field}"):
        Store(tmp_path).require(**{field: changed})
    assert len(Store(tmp_path)) == 10


@pytest.mark.parametrize("name", ["rows.parquet", "offsets.npy", "frames.f16", "card.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_store_that_was_copied_in_part_is_refused_with_the_files_name(tmp_path, name, damage):
    write(tmp_path)
    if damage == "gone":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:20])
    with pytest.raises(StoreError, match=f"{name}|is unfinished; run extract") as refusal:
        Store(tmp_path)
    assert "again" in str(refusal.value) or "run extract" in str(refusal.value)


@pytest.mark.parametrize("name", ["rows.parquet", "offsets.npy"])
def test_a_file_of_the_right_size_with_other_bytes_is_refused_by_name(tmp_path, name):
    write(tmp_path)
    (tmp_path / name).write_bytes(bytes((tmp_path / name).stat().st_size))
    with pytest.raises(StoreError, match=f"{name} is damaged .*; delete .* and extract it again"):
        Store(tmp_path)


def test_a_store_of_an_earlier_version_is_refused_with_the_remedy(tmp_path):
    write(tmp_path)
    path = tmp_path / "card.json"
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 1'))
    for use in (lambda: Store(tmp_path), lambda: StoreWriter(tmp_path, card(), plan())):
        with pytest.raises(StoreError, match="format 1, this version reads 2 and 3; delete .* and extract it again"):
            use()


def test_caption_embeddings_that_are_gone_are_missed(tmp_path):
    writer = StoreWriter(tmp_path, card(kind="text"), plan(4))
    ids = list(plan(4)["row_id"])
    writer.write_shard(0, {i: latents_of(i) for i in ids}, embeddings={i: np.ones(3) for i in ids})
    assert writer.finish() and TextStore(tmp_path).embeddings.shape == (4, 3)
    (tmp_path / "embeddings.npy").unlink()
    with pytest.raises(StoreError, match="embeddings.npy is missing"):
        TextStore(tmp_path)


def test_a_corrupt_file_is_refused_with_the_rows_it_spoils(tmp_path):
    write(tmp_path)
    content = bytearray((tmp_path / "frames.f16").read_bytes())
    content[-1] ^= 0xFF
    (tmp_path / "frames.f16").write_bytes(content)
    with pytest.raises(StoreError, match=r"shard 2 \(rows 8 to 9\) is damaged"):
        Store(tmp_path).hold()


def test_a_damaged_card_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(StoreError, match="not a store's card"):
        Store(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((3, 6), np.nan), "'track0' has NaN or infinite values"),
        (np.full((3, 6), np.inf), "'track0' has NaN or infinite values"),
        (np.full((3, 6), 1e6), "'track0' has values up to 1e.06, but float16, .*, ends at 65504"),
        (np.zeros((3, 6)), "'track0' is all zeros, so that it has no direction"),
        (1e-8 * latents_of("track8"), "would move these latents by .*% of their standard deviation; subtract"),
    ],
)
def test_values_that_float16_cannot_hold_are_refused(tmp_path, values, message):
    writer = StoreWriter(tmp_path, card(), plan(1))
    with pytest.raises(StoreError, match=message):
        writer.write_shard(0, {"track0": values})


def test_a_full_disk_is_told_with_the_file_and_leaves_no_part_of_it(tmp_path, monkeypatch):
    def full(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device: .*card.json"):
        write_atomically(tmp_path / "card.json", b"{}")
    assert not list(tmp_path.iterdir())


def test_small_latents_on_a_large_offset_are_refused_once_enough_tracks_tell_how_they_differ(tmp_path):
    offset = {f"track{i}": 1000 + latents_of(f"track{i}") for i in range(FEWEST)}
    writer = StoreWriter(tmp_path, card(shard_size=FEWEST), plan(FEWEST))
    with pytest.raises(StoreError, match="would move these latents by .*% of their standard deviation; subtract"):
        writer.write_shard(0, offset)


def test_a_track_that_hardly_varies_is_stored_as_the_others_are(tmp_path):
    loop = 0.05 + 1e-6 * latents_of("track8")  # windows that are equal but for noise
    write(tmp_path, num_rows=4)
    writer = StoreWriter(tmp_path, card(), plan(5))
    writer.write_shard(0, {"track4": loop})
    assert writer.finish() and np.array_equal(Store(tmp_path).row(4), loop.astype(np.float16))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_latents_of_any_scale_are_normalised_alike(scale):
    random, moments = np.random.default_rng(0), Moments(4)
    frames = scale * random.normal(size=(500, 4))
    frames[:, 3] = scale  # never varies
    moments.add(frames)
    std = np.array(moments.result()[1]) / scale
    assert np.allclose(std[:3], 1, atol=0.1) and 0 < std[3] < 1e-3


def test_memory_is_what_the_job_may_take_and_not_what_the_host_has(tmp_path):
    host = available_memory(cgroup=tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert host > 600_000 == available_memory(cgroup=tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(cgroup=tmp_path) > 600_000


def test_where_frames_are_held_can_be_said(tmp_path):
    write(tmp_path)
    assert isinstance(Store(tmp_path).hold(memory="map").frames, np.memmap)
    assert type(Store(tmp_path).hold(memory="ram").frames) is np.ndarray
    with pytest.raises(InputError, match="memory is 'disk'; choose one of auto, gpu, ram, map"):
        Store(tmp_path).hold(memory="disk")


def test_duplicate_ids_are_refused(tmp_path):
    with pytest.raises(StoreError, match="'track0' stands twice"):
        StoreWriter(tmp_path, card(), pd.concat([plan(1), plan(1)]))


def test_two_jobs_write_the_store_of_one(tmp_path):
    writers = [StoreWriter(tmp_path / "two", card(), plan()) for _ in range(2)]
    for index in (1, 0):
        for shard in writers[index].pending(index, 2):
            ids = [f"track{i}" for i in writers[index].rows_of(shard)]
            writers[index].write_shard(shard, {i: latents_of(i) for i in ids})
        writers[index].finish()
    write(tmp_path / "one")
    for name in ("frames.f16", "offsets.npy", "card.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
