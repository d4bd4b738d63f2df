"""How much memory a block takes, for the benchmarks that measure it."""

import contextlib
import threading
from collections.abc import Callable

import psutil


def resident() -> float:
    """MB of this process that lie in RAM, shared ones included."""
    return psutil.Process().memory_info().rss / 2**20


def unique() -> float:
    """MB that are this process's and its children's own (USS): what workers share with their parent counts once."""
    process = psutil.Process()
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().uss / 2**20
        except psutil.NoSuchProcess:  # a worker has just ended
            continue
    return total


def beyond_cache(pid: int | None = None) -> float:
    """MB of a process, by default this one, that no file backs: the page cache, which memory maps fill, is left out."""
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid).memory_info()
        return (found.rss - found.shared) / 2**20
    return 0.0  # it has ended


class Memory(threading.Thread):
    """Samples `measure()` every so many seconds while a block runs: `with Memory(resident) as memory: work()`."""

    def __init__(self, measure: Callable[[], float], every: float):
        super().__init__(daemon=True)
        self.measure, self.every, self.stopped = measure, every, threading.Event()
        self.samples = [measure()]

    def __enter__(self) -> "Memory":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self.join()

    def run(self) -> None:
        """The thread's work: take samples until the block ends."""
        while not self.stopped.wait(self.every):
            self.samples.append(self.measure())

    def peak(self, start: float = 0.0, end: float = 1.0) -> float:
        """The largest sample, in MB, between two shares of the run: `peak(0.9)` is that of its last tenth."""
        n = len(self.samples)
        return round(max(self.samples[int(start * n) : max(int(end * n), int(start * n) + 1)]), 1)

    def growth(self) -> int:
        """How far the peak lies above the first sample, in MB."""
        return round(max(self.samples) - self.samples[0])
