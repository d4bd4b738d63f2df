"""What all tests rest on: their own random numbers in any order, and no network."""

import random
import socket

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def shared():
    return torch.rand(2), np.random.rand(2), random.random()


def draw():
    return torch.rand(2), np.random.rand(2), random.random()


def seeded():
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    return draw()


@pytest.mark.parametrize("time", ["first", "second"])
def test_numbers_are_the_same_whether_a_shared_fixture_was_made_before_or_not(shared, time):
    mine, expected = draw(), seeded()
    for one, other, theirs in zip(mine, expected, shared, strict=True):
        assert np.array_equal(one, other) and not np.array_equal(one, theirs)


def test_a_test_that_asks_the_network_fails_at_once():
    with pytest.raises(pytest.fail.Exception, match="asks the network: 192.0.2.1"):
        socket.create_connection(("192.0.2.1", 80))
    with pytest.raises(pytest.fail.Exception, match="asks the network: example.org"):
        socket.create_connection(("example.org", 80))


def test_a_server_on_this_machine_can_be_asked():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as asking:
        assert asking.getpeername()[0] == "127.0.0.1"
