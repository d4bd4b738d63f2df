"""Keeps a C library off the terminal: libmpg123 writes there what is wrong with a file, without its name."""

import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_state: dict[str, int] = {"depth": 0, "before": 0}
SYMBOL = {"linux": "stderr", "darwin": "__stderrp"}.get(sys.platform)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """C's `stderr`, the stream that C code prints to, goes nowhere within; Python's own is another and stays.

    Threads may be inside together. Where the C library does not export its stream (Windows), nothing changes.
    """
    _turn(+1)
    try:
        yield
    finally:
        _turn(-1)


def _turn(by: int) -> None:
    stream = _stream()
    if stream is None:
        return
    with _lock:
        before, _state["depth"] = _state["depth"], _state["depth"] + by
        if before == 0:
            _state["before"], stream.value = stream.value or 0, _nowhere()
        elif _state["depth"] == 0:
            stream.value = _state["before"]


@functools.cache
def _stream() -> ctypes.c_void_p | None:
    try:
        return ctypes.c_void_p.in_dll(ctypes.CDLL(None), SYMBOL) if SYMBOL else None
    except (OSError, ValueError):
        return None


@functools.cache
def _nowhere() -> int:
    """A C stream to the null device."""
    fopen = ctypes.CDLL(None).fopen
    fopen.restype, fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
    return fopen(os.devnull.encode(), b"w")
