"""How a worker process behaves: on any system, on Ctrl-C, and when the process that started it is killed."""

import multiprocessing
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext, SpawnContext


def context() -> "ForkContext | SpawnContext":
    """fork where it is the system's way: workers touch neither torch nor the GPU, and start at once. Else spawn."""
    if sys.platform == "linux":
        return multiprocessing.get_context("fork")
    return multiprocessing.get_context("spawn")


def begin() -> None:
    """The first thing that a worker does: leave Ctrl-C to its parent, use one thread, and end when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:  # forked from a process that had it
        sys.modules["torch"].set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
