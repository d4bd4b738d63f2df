"""Threads: one for each core that this process really has, which may be fewer than the machine's."""

import os

import pytest
import torch

from diffgar import threads


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_counts_in_whole_cores(tmp_path, files, cores):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert threads.quota(tmp_path) == cores


@pytest.mark.parametrize(("affinity", "quota", "cores"), [(8, None, 8), (8, 2, 2), (1, 4, 1), (4, 4, 4)])
def test_the_smaller_of_affinity_and_quota_counts(monkeypatch, affinity, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(threads, "quota", lambda: quota)
    assert threads.usable_cores() == cores


def test_a_system_without_affinity_counts_its_cores(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(threads, "quota", lambda: None)
    assert threads.usable_cores() == 6


def test_workers_get_their_share_and_the_rest_is_as_before(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    threads.limit()
    assert torch.get_num_threads() == 4
    with threads.beside(3):
        assert torch.get_num_threads() == 1
    with threads.beside(9):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


def test_what_the_environment_says_goes_first(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    torch.set_num_threads(3)
    threads.limit()
    assert torch.get_num_threads() == 3
