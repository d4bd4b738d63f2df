"""Tests run offline, on one thread and from one seed: no model hub is asked, no busy core slows a small batch, and a
test draws the same numbers whichever ran before it."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)  # before the fixtures, which draw numbers as well
def pytest_runtest_setup():
    torch.manual_seed(0)
