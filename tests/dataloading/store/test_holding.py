"""Frames are verified once for the same bytes, held where there is room, and never sent to a worker process."""

import os
import pickle
import shutil
import threading

import numpy as np
import pytest
import torch
from test_latents import write

from diffgar.dataloading.store import holding, reader, verified
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.memory import available_memory
from diffgar.dataloading.store.reader import Store

CPU = torch.device("cpu")
ROWS = np.array([0, 3, 4, 5, 9])


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def verifications(monkeypatch):
    """The folders that were read whole."""
    read, verify = [], reader.verify_frames

    def counted(folder, *arguments):
        read.append(folder)
        verify(folder, *arguments)

    monkeypatch.setattr(reader, "verify_frames", counted)
    return read


@pytest.mark.parametrize("memory", ["ram", "map", "gpu"])
def test_the_same_bytes_are_verified_once(folder, verifications, memory):
    for _ in range(3):
        Store(folder).hold(memory=memory).hold(memory=memory)
    assert verifications == [folder]


def test_other_bytes_are_verified_anew_and_refused_where_they_are_damaged(folder, verifications):
    Store(folder).hold()
    content = bytearray((folder / "frames.f16").read_bytes())
    content[-1] ^= 0xFF
    (folder / "frames.f16").write_bytes(content)
    os.utime(folder / "frames.f16", ns=(0, 0))  # another time, however coarse the clock is
    for _ in range(2):
        with pytest.raises(StoreError, match=r"shard 2 \(rows 8 to 9\) is damaged"):
            Store(folder).hold(memory="map")
    assert len(verifications) == 3


def test_a_copy_is_verified_also_where_it_has_the_times_and_the_note_of_the_original(folder, verifications):
    Store(folder).hold()
    shutil.copytree(folder, folder.with_name("copy"))
    Store(folder.with_name("copy")).hold()
    assert verifications == [folder, folder.with_name("copy")]


def test_processes_that_begin_together_verify_once(folder, verifications):
    """Threads stand for processes: each has a lock of its own on the same file."""
    begin = threading.Barrier(4)

    def run():
        store = Store(folder)
        begin.wait()
        store.hold(memory="map")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verifications == [folder]


def test_a_store_that_may_not_be_written_to_has_its_note_elsewhere(folder, verifications, monkeypatch, tmp_path):
    monkeypatch.setattr(verified.os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = sorted(folder.iterdir())
    for _ in range(2):
        Store(folder).hold()
    assert verifications == [folder] and sorted(folder.iterdir()) == before


def test_where_no_note_can_be_kept_every_process_verifies(folder, verifications, monkeypatch, tmp_path):
    monkeypatch.setattr(verified.os, "access", lambda path, mode: False)
    (tmp_path / "cache").write_text("a file, and no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        Store(folder).hold()
    assert verifications == [folder] * 2


@pytest.mark.parametrize("memory", ["ram", "gpu"])  # a tensor on the CPU stands for one on a GPU
def test_rows_that_are_held_are_those_of_the_file_and_others_are_refused(folder, memory):
    whole, part = Store(folder), Store(folder).hold(CPU, memory, rows=ROWS)
    assert len(part.frames) == whole.lengths[ROWS].sum()
    assert all(np.array_equal(part.row(i), whole.row(i)) for i in ROWS)
    starts = np.arange(len(ROWS)) % 2
    for one, other in zip(*(store.gather(ROWS, starts, 6) for store in (whole, part)), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(IndexError, match=r"row 2 of .*store is not held"):
        part.gather(np.array([3, 2]), np.zeros(2, dtype=np.int64), 4)
    with pytest.raises(IndexError, match="row 1 of"):
        part.means(np.array([0, 1]))
    assert np.array_equal(part.hold(memory="map").row(1), whole.row(1))


def test_by_auto_several_processes_share_the_file_and_one_holds_what_fits(monkeypatch):
    monkeypatch.setattr(holding, "available_memory", lambda: 1000)
    assert holding.choose_memory("auto", 499, CPU) == "ram"
    assert holding.choose_memory("auto", 500, CPU) == "map"
    assert holding.choose_memory("auto", 1, CPU, num_processes=2) == "map"
    assert holding.choose_memory("ram", 5000, CPU, num_processes=2) == "ram"


@pytest.mark.parametrize("memory", ["ram", "map"])
def test_a_worker_process_opens_the_files_itself(folder, memory):
    store = Store(folder).hold(memory=memory)
    store.rows["column"] = ["x" * 10_000] * len(store)
    sent = pickle.dumps(store)
    assert len(sent) < 10_000
    opened = pickle.loads(sent)
    assert isinstance(opened.frames, np.memmap) and np.array_equal(opened.frames, store.frames)
    assert list(opened.rows["row_id"]) == list(store.rows["row_id"]) and opened.card == store.card


def test_the_limit_that_counts_is_the_smallest_of_all_groups_around_the_process(tmp_path):
    """Slurm limits the job, and the group of its task has no limit of its own; cached files count as free."""
    groups, root = tmp_path / "groups", tmp_path / "cgroup"
    job, task = root / "slurm/job_7", root / "slurm/job_7/step_0/task_0"
    task.mkdir(parents=True)
    groups.write_text("0::/slurm/job_7/step_0/task_0\n")
    for folder, limit in ((job, "1000000"), (task, "max")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text("900000\n")
    assert available_memory(root, groups) == 100_000
    (job / "memory.stat").write_text("anon 100000\ninactive_file 700000\n")
    assert available_memory(root, groups) == 800_000


def test_groups_of_the_first_version_lie_below_their_controller(tmp_path):
    groups, job = tmp_path / "groups", tmp_path / "cgroup/memory/slurm/job_7"
    job.mkdir(parents=True)
    groups.write_text("5:cpu:/\n4:memory:/slurm/job_7\n0::/\n")
    (job / "memory.limit_in_bytes").write_text("1000000\n")
    (job / "memory.usage_in_bytes").write_text("900000\n")
    (job / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 50000\n")
    assert available_memory(tmp_path / "cgroup", groups) == 150_000
