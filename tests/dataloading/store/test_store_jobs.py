"""Several jobs write one store, at their own times and with their own tables: no row is another's, and none is lost."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_latents import card, latents_of, plan, write

from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.writer import StoreWriter


def fill(writer, shards=None):
    for shard in writer.pending() if shards is None else shards:
        writer.write_shard(shard, {writer.ids[i]: latents_of(writer.ids[i]) for i in writer.rows_of(shard)})
    return writer.finish()


def held(folder):
    """The store's rows, each of which must have its own latents."""
    store = Store(folder)
    for i, row_id in enumerate(store.rows["row_id"]):
        assert np.array_equal(store.row(i), latents_of(row_id).astype(np.float16))
    return list(store.rows["row_id"])


def tracks(*numbers):
    return plan(20).iloc[list(numbers)].reset_index(drop=True)


@pytest.mark.parametrize("written", [0, 1])
def test_a_job_that_ends_after_one_with_another_table_finds_the_rows_where_they_are_now(tmp_path, written):
    write(tmp_path, num_rows=6)
    late = StoreWriter(tmp_path, card(shard_size=1), tracks(0, 1, 2, 3, 4, 5, 6, 8))
    for shard in late.pending()[:written]:
        late.write_shard(shard, {"track6": latents_of("track6")})
    assert fill(StoreWriter(tmp_path, card(), tracks(7, 5, 4, 3, 2, 1, 0)))
    assert held(tmp_path) == [f"track{i}" for i in (7, 5, 4, 3, 2, 1, 0)]
    assert fill(late)
    assert held(tmp_path) == [f"track{i}" for i in (0, 1, 2, 3, 4, 5, 6, 8)]
    assert not (tmp_path / "writing").exists()


def test_rows_that_another_job_has_added_meanwhile_are_kept(tmp_path):
    write(tmp_path, num_rows=4)
    late = StoreWriter(tmp_path, card(), tracks(0, 1, 2, 3, 4), keep_gone=True)
    assert fill(StoreWriter(tmp_path, card(), tracks(0, 1, 2, 3, 5), keep_gone=True))
    assert fill(late)
    assert held(tmp_path) == [f"track{i}" for i in range(6)]
    assert list(Store(tmp_path).rows["split"][4:]) == ["train", ""]


def test_jobs_of_one_table_share_their_work_whatever_was_joined_between_their_starts(tmp_path):
    write(tmp_path, num_rows=4)
    first = StoreWriter(tmp_path, card(shard_size=1), plan(8), keep_gone=True)
    assert fill(StoreWriter(tmp_path, card(), tracks(0, 1, 2, 3, 9), keep_gone=True))
    second = StoreWriter(tmp_path, card(shard_size=1), plan(8), keep_gone=True)
    assert not fill(first, first.pending(0, 2))
    assert fill(second, second.pending(1, 2))
    assert held(tmp_path) == [*(f"track{i}" for i in range(8)), "track9"]


def test_rows_that_are_needed_again_are_encoded_beside_a_job_that_goes_on(tmp_path):
    write(tmp_path, num_rows=4)
    running = StoreWriter(tmp_path, card(shard_size=1), plan(6))  # two rows to encode
    assert fill(StoreWriter(tmp_path, card(), tracks(0, 1)))  # lets two go
    other = StoreWriter(tmp_path, card(shard_size=1), plan(6))  # four rows to encode
    assert len(running.pending()) == 2 and len(other.pending()) == 4
    assert not fill(running) and fill(other) and running.finish()
    assert held(tmp_path) == [f"track{i}" for i in range(6)]


def test_a_job_whose_work_another_has_done_ends_without_an_error(tmp_path):
    slow = StoreWriter(tmp_path, card(), plan(9))
    assert fill(StoreWriter(tmp_path, card(), plan(9)))
    assert fill(slow) and len(held(tmp_path)) == 9
    assert not (tmp_path / "writing").exists()


def test_shards_whose_rows_are_in_the_store_by_now_are_not_written_again(tmp_path):
    killed = StoreWriter(tmp_path, card(shard_size=1), plan(6))
    killed.write_shard(0, {"track0": latents_of("track0")}), killed.write_shard(4, {"track4": latents_of("track4")})
    assert fill(StoreWriter(tmp_path, card(shard_size=1), tracks(0, 1)))
    assert len(list(tmp_path.glob("writing/*/*.npz"))) == 1, "what the smaller table lacks is not lost"
    again = StoreWriter(tmp_path, card(shard_size=1), plan(6))
    assert again.pending() == [2, 3, 5]
    assert fill(again) and held(tmp_path) == [f"track{i}" for i in range(6)]


def test_what_is_said_to_be_the_same_is_so_for_the_rows_that_were_compared(tmp_path):
    assert fill(StoreWriter(tmp_path, card(), plan(3).assign(_key="old")))
    moved = plan(3).assign(_key="new")
    same = StoreWriter(tmp_path, card(), moved, same={"track0": "old", "track1": "another"})
    assert [same.ids[i] for i in same.rows_of(0)] == ["track1", "track2"]
    assert fill(same) and held(tmp_path) == ["track0", "track1", "track2"]
    assert set(Store(tmp_path).rows["_key"]) == {"new"}


def test_more_shards_than_files_may_be_open_are_joined(tmp_path):
    resource = pytest.importorskip("resource")
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("how many files are open is known on Linux alone")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, limits[1]))
    try:
        write(tmp_path, card_=card(shard_size=1), num_rows=60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(held(tmp_path)) == 60


def test_a_damaged_shard_is_named(tmp_path):
    write(tmp_path, shards=[0, 1])
    shard = sorted(tmp_path.glob("writing/*/*.npz"))[1]
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(StoreError, match=f"{shard}: a damaged shard"):
        write(tmp_path)
    shard.unlink()
    write(tmp_path)
    assert len(held(tmp_path)) == 10


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ([1, 2, 3, 4], ["a", "b", "c"], ["a", "b", "c", "4"]),
        (["a", "b", "c", "d"], [1, 2, 3], ["1", "2", "3", "d"]),
        ([True] * 4, ["x", "y", "z"], ["x", "y", "z", "true"]),
        ([2**60 + 1] * 4, [0.5, 1, 2], ["0.5", "1.0", "2.0", str(2**60 + 1)]),
    ],
)
def test_rows_that_the_table_lost_may_have_other_kinds_of_cells(tmp_path, before, after, kept):
    assert fill(StoreWriter(tmp_path, card(), plan(4).assign(mood=before)))
    for finished in (False, True):
        writer = StoreWriter(tmp_path, card(), plan(3).assign(mood=after), keep_gone=True)
        assert writer.finished is finished and fill(writer)
        assert list(Store(tmp_path).rows["mood"]) == kept


def test_a_store_all_of_whose_rows_were_left_out_is_made_of_those_that_are_mended(tmp_path):
    skipped = [{"row_id": f"track{i}", "path": "", "reason": "silent"} for i in range(3)]
    writer = StoreWriter(tmp_path, card(), plan(3))
    writer.write_shard(0, {}, skipped)
    for _ in range(2):
        with pytest.raises(StoreError, match="every row was left out, the first because: silent"):
            writer.finish()
        writer = StoreWriter(tmp_path, card(), plan(3))
        assert not writer.pending() and len(writer.skipped()) == 3
    assert fill(StoreWriter(tmp_path, card(), plan(3).assign(_key=["", "mended", ""])))
    assert held(tmp_path) == ["track1"]
    assert list(pd.read_csv(tmp_path / "skipped.csv")["row_id"]) == ["track0", "track2"]


def test_a_list_of_those_left_out_that_a_person_has_edited_is_no_obstacle(tmp_path):
    write(tmp_path, skip={"track3"})
    pd.read_csv(tmp_path / "skipped.csv")[["row_id", "reason"]].to_csv(tmp_path / "skipped.csv", index=False)
    assert fill(StoreWriter(tmp_path, card(), plan(11)))
    assert len(held(tmp_path)) == 11


def test_leftovers_of_a_deletion_that_was_killed_are_not_taken_for_shards_of_the_plan(tmp_path):
    write(tmp_path, shards=[0])
    shutil.copy(next(tmp_path.glob("writing/*/000000.npz")), tmp_path / "leftover.npz")
    generation = next(tmp_path.glob("writing/*/plan.json")).parent
    (generation / "plan.json").unlink()
    (tmp_path / "leftover.npz").replace(generation / "000001.npz")
    write(tmp_path)
    assert len(held(tmp_path)) == 10 and not (tmp_path / "writing").exists()


def test_a_store_that_may_not_be_written_to_is_read_where_it_is_finished_and_refused_where_not(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert StoreWriter(tmp_path, card(), plan()).finish()
    with pytest.raises(StoreError, match="may not be written to; ask whoever owns it, or extract into"):
        StoreWriter(tmp_path, card(), plan(11))
