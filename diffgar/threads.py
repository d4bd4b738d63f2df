"""How many threads torch may use: one per core that this process may run on."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores of this process: by its affinity (taskset, Slurm) and by the quota of its container."""
    linux = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    return max(1, min(cores, quota() or cores))


def quota(root: Path = CGROUPS) -> int | None:
    """Whole cores that the container's CPU time allows, by cgroup 2 or 1; None where it is not limited."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            texts = [(root / name).read_text(encoding="utf-8") for name in names]
            used, period = (int(part) for part in " ".join(texts).split()[:2])
        except (OSError, ValueError):  # another version, no cgroup, or "max"
            continue
        if used > 0 and period > 0:
            return max(1, math.floor(used / period))
    return None


def limit(workers: int = 0) -> None:
    """Let torch use the cores that `workers` busy processes leave; OMP_NUM_THREADS takes precedence."""
    import torch

    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(max(1, usable_cores() - workers))


@contextlib.contextmanager
def beside(workers: int) -> Iterator[None]:
    """A context in which torch leaves one core to each of `workers` busy processes."""
    import torch

    threads = torch.get_num_threads()
    limit(workers)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
