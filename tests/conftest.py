"""Tests run offline, on one thread and from one seed: no network is asked, no busy core slows a small batch, and a
test draws the same numbers whichever ran before it."""

import os
import random
import socket
import zlib
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


def pytest_configure(config):
    config.option.randomly_reset_seed = False  # pytest-randomly shuffles; the seed is ours to set


def seed(number: int) -> None:
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


@pytest.hookimpl(tryfirst=True)  # before the fixtures, which draw numbers as well
def pytest_runtest_setup():
    seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    """What tests share draws its own numbers, whichever test asks for it first, and leaves the test's alone."""
    if fixturedef.scope == "function":
        return (yield)
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    seed(zlib.crc32(fixturedef.argname.encode()))
    try:
        return (yield)
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def is_here(host) -> bool:
    """Whether a host is this machine."""
    names = {None, "", "localhost", "::1", "::", "0.0.0.0", socket.gethostname()}
    host = host.decode() if isinstance(host, bytes) else host
    return host in names or str(host).startswith("127.")


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """A test that asks the network fails at once, and says whom it asked."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self, address):
        if self.family != getattr(socket, "AF_UNIX", None) and not is_here(address[0]):
            pytest.fail(f"a test asks the network: {address[0]}:{address[1]}")
        return connect(self, address)

    def guarded_look_up(host, *args, **kwargs):
        if not is_here(host):
            pytest.fail(f"a test asks the network: {host}")
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory):
    """A folder as the main job leaves it, checkpoints/demo and data/, with a tiny model of 24 tracks."""
    from scripts import SMALL, invoke, places

    folder = tmp_path_factory.mktemp("small_demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # so that the paths which the model knows are relative, as usual
        invoke("train_ldm.py", *SMALL, "~task", *places(Path()))
    return folder
