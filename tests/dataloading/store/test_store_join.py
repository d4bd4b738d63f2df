"""A join needs no second copy of the data, goes on after a kill, and leaves no more holes than a tenth."""

import itertools
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_latents import card, latents_of, plan
from test_store_jobs import fill, held, tracks

from diffgar.dataloading.store import compact
from diffgar.dataloading.store.card import Card, StoreError
from diffgar.dataloading.store.moments import Moments
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.spans import offsets_of
from diffgar.dataloading.store.writer import StoreWriter

STEPS = ((os, "fsync"), (shutil, "rmtree"), *((Path, name) for name in ("replace", "rename", "unlink", "rmdir")))


class Killed(BaseException):
    """Stands for the end of the process: nothing of the store's code catches it."""


def around(monkeypatch, before=lambda: None, after=lambda: None):
    """Call these before and after each step that changes what is on disk for good."""

    def watched(step):
        def call(*args, **how):
            before()
            result = step(*args, **how)
            after()
            return result

        return call

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))


def on_disk(folder):
    """The bytes of a store's files by name, or of whatever else lies there."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name != "store.lock"}


def grown():
    """Twelve tracks, of which the fourth has changed and two are new: one before all others, one after them."""
    return tracks(11, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10).assign(
        _key=["", *("changed" if i == 3 else "" for i in range(11))]
    )


PLANS = {"a first join": (None, plan(11)), "growth": (plan(10), grown()), "compaction": (plan(12), tracks(11, 3, 7, 9))}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("case", PLANS)
def test_a_join_that_is_killed_at_any_step_goes_on_to_the_same_bytes(tmp_path, monkeypatch, case, when):
    monkeypatch.setattr(compact, "CHUNK", 30)  # bytes: three frames, less than most tracks have
    base, table = PLANS[case]
    start = tmp_path / "start"
    if base is not None:
        assert fill(StoreWriter(start, card(), base))
    writer = StoreWriter(start, card(), table)
    for shard in writer.pending():
        writer.write_shard(shard, {writer.ids[i]: latents_of(writer.ids[i]) for i in writer.rows_of(shard)})
    shutil.copytree(start, tmp_path / "whole")
    assert StoreWriter(tmp_path / "whole", card(), table).finish()
    wanted = on_disk(tmp_path / "whole")
    Store(tmp_path / "whole").verify()
    for step in itertools.count():
        folder, left = tmp_path / f"killed{step}", iter(range(step, -1, -1))

        def kill(left=left):
            if next(left) == 0:
                raise Killed

        shutil.copytree(start, folder)
        try:
            with monkeypatch.context() as patch:
                around(patch, **{when: kill})
                StoreWriter(folder, card(), table).finish()
            break
        except Killed:
            again = StoreWriter(folder, card(), table)
            assert not again.pending(), "no row is encoded again"
            assert again.finish() and on_disk(folder) == wanted
    assert step > 8
    assert held(tmp_path / "whole") == list(table["row_id"])


def test_the_frames_that_a_killed_join_left_half_written_are_written_again(tmp_path):
    writer = StoreWriter(tmp_path / "killed", card(), plan())
    fill(writer, [0, 1])
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    (tmp_path / "killed/frames.f16").write_bytes(b"half a row")
    for name in ("killed", "whole"):
        assert fill(StoreWriter(tmp_path / name, card(), plan()))
    assert on_disk(tmp_path / "killed") == on_disk(tmp_path / "whole")


LONG = 2000  # frames of a track: so long that the tables beside the frames do not count


def long_latents(row_id, seed=0):
    random = np.random.default_rng([seed, int(row_id.removeprefix("track"))])
    return random.standard_normal((LONG, 6)).astype(np.float16)


def peak(tmp_path, monkeypatch, table, seed=0):
    """The most bytes on disk while a table is joined, after its shards are written, and those of its store."""
    writer = StoreWriter(tmp_path, card(shard_size=1), table)
    for shard in writer.pending():
        writer.write_shard(shard, {writer.ids[i]: long_latents(writer.ids[i], seed) for i in writer.rows_of(shard)})
    sizes = []

    def measure():
        sizes.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))

    with monkeypatch.context() as patch:
        around(patch, measure, measure)
        assert writer.finish()
    measure()
    return max(sizes), sizes[-1]


def test_the_disk_holds_at_most_a_tenth_more_than_the_store_while_it_is_joined_grows_and_shrinks(tmp_path, monkeypatch):
    monkeypatch.setattr(compact, "CHUNK", 2**14)
    whole, track = plan(60).assign(_key=""), LONG * 6 * 2  # bytes of a track
    most, first = peak(tmp_path, monkeypatch, whole[:58].reset_index(drop=True))
    assert first < 1.02 * 58 * track and most < 1.1 * first
    most, size = peak(tmp_path, monkeypatch, whole)
    assert most < 1.1 * size and size < 1.02 * 60 * track
    changed = whole.assign(_key=["changed"] * 3 + [""] * 57)
    most, size = peak(tmp_path, monkeypatch, changed, seed=1)
    assert most < 1.1 * 60 * track and size < 1.02 * 63 * track, "so few holes may stay"
    most, size = peak(tmp_path, monkeypatch, changed[:40])
    assert most < 1.1 * 60 * track and size < 1.02 * 40 * track, "what is let go is given back"
    store = Store(tmp_path)
    store.verify()
    for i, row_id in enumerate(store.rows["row_id"]):
        assert np.array_equal(store.row(i), long_latents(row_id, seed=int(i < 3)))


def test_a_store_is_not_compacted_while_somebody_reads_it(tmp_path):
    assert fill(StoreWriter(tmp_path, card(), plan(12)))
    reader = Store(tmp_path)
    rows, frames = list(reader.rows["row_id"]), [reader.row(i) for i in range(12)]
    assert fill(StoreWriter(tmp_path, card(), tracks(11, 2)))
    assert all(np.array_equal(reader.row(i), frames[i]) for i in range(12)), rows
    assert held(tmp_path) == ["track11", "track2"] and Card.load(tmp_path).num_frames == sum(map(len, frames))
    del reader
    assert fill(StoreWriter(tmp_path, card(), tracks(11, 2, 13)))
    assert held(tmp_path) == ["track11", "track2", "track13"]
    assert Card.load(tmp_path).num_frames == sum(len(latents_of(f"track{i}")) for i in (11, 2, 13))


def test_a_store_that_is_being_compacted_has_no_readers(tmp_path):
    from diffgar.dataloading.store.use import alone

    assert fill(StoreWriter(tmp_path, card(), plan()))
    with alone(tmp_path / "frames.f16"), pytest.raises(StoreError, match="is being compacted .*; try again when"):
        Store(tmp_path)
    one, other = Store(tmp_path), pickle.loads(pickle.dumps(Store(tmp_path)))
    assert np.array_equal(one.row(3), other.row(3))
    del one
    assert alone(tmp_path / "frames.f16") is None, "a store that was pickled is a reader too"


def test_another_store_that_shares_the_frames_by_a_hard_link_keeps_its_own(tmp_path):
    assert fill(StoreWriter(tmp_path / "a", card(), plan()))
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=os.link)
    assert fill(StoreWriter(tmp_path / "a", card(), tracks(*range(12))))
    assert fill(StoreWriter(tmp_path / "b", card(), tracks(*range(10), 15)))
    assert held(tmp_path / "a") == [f"track{i}" for i in range(12)]
    assert held(tmp_path / "b")[-1] == "track15"


def test_a_grown_store_has_the_statistics_of_one_that_was_made_at_once(tmp_path):
    assert fill(StoreWriter(tmp_path, card(), plan(8)))
    assert fill(StoreWriter(tmp_path, card(), tracks(11, *range(11))))
    store, moments = Store(tmp_path), Moments(6)
    for i in np.flatnonzero(store.rows["split"] == "train"):
        moments.add(store.row(i))
    assert (store.card.mean, store.card.std) == moments.result()
    assert store.card.format_version == 3 and store.card.num_frames == store.lengths.sum()
    store.verify()


def test_what_is_read_does_not_depend_on_where_the_rows_lie(tmp_path):
    assert fill(StoreWriter(tmp_path / "grown", card(), tracks(3, 4, 5)))
    for name in ("grown", "whole"):
        assert fill(StoreWriter(tmp_path / name, card(), tracks(*range(8))))
    grown, whole = Store(tmp_path / "grown"), Store(tmp_path / "whole")
    rows, starts = np.arange(8), np.zeros(8, dtype=np.int64)
    assert grown.starts.tolist() != whole.starts.tolist()
    assert (grown.means(rows) == whole.means(rows)).all()
    for one, other in zip(grown.gather(rows, starts, 6), whole.gather(rows, starts, 6), strict=True):
        assert (one == other).all()


def test_rows_of_another_table_that_a_killed_join_has_taken_in_are_not_lost(tmp_path, monkeypatch):
    larger = StoreWriter(tmp_path, card(), plan(12))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        around(patch, before=lambda: None)
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(Killed))
        fill(larger)
    assert fill(StoreWriter(tmp_path, card(), tracks(1, 2, 6)))
    assert held(tmp_path) == ["track1", "track2", "track6"]
    again = StoreWriter(tmp_path, card(), plan(12))
    assert not again.pending() and again.finish()
    assert held(tmp_path) == [f"track{i}" for i in range(12)]


def test_a_job_of_several_takes_shards_that_follow_each_other(tmp_path):
    writer = StoreWriter(tmp_path, card(shard_size=1), plan(10))
    shares = [writer.pending(index, 3) for index in range(3)]
    assert sum(shares, []) == list(range(10)) and [len(share) for share in shares] == [4, 3, 3]


def test_offsets_are_as_earlier_versions_wrote_them_where_no_row_is_elsewhere():
    assert offsets_of(np.array([0, 3]), np.array([3, 2]), 5).tolist() == [0, 3, 5]
    assert offsets_of(np.array([0, 3]), np.array([3, 2]), 6).tolist() == [[0, 3], [3, 5]]
