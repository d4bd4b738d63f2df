"""How much memory this process may take: the host's, or less where its job has a limit of its own."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
LIMITS = (  # (limit, in use) of a control group, version 2 and version 1
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def available_memory(num_processes: int = 1, cgroup: Path = CGROUP) -> int:
    """Bytes of RAM that one of `num_processes` processes of this host may still take.

    The smallest of what the host has free, what the job's control group (Slurm, Docker) leaves, and what the limits of
    the process's address space (`ulimit -v`) and of its own data (`ulimit -d`, without files that are mapped) leave.
    """
    free = [psutil.virtual_memory().available, *_left_by_cgroup(cgroup), *_left_by_limits()]
    return max(0, min(free)) // max(1, num_processes)


def _left_by_cgroup(root: Path) -> list[int]:
    folders = [root, *(root / name for name in _own_groups())]
    left = []
    for folder in folders:
        for limit, used in LIMITS:
            try:
                left.append(
                    int((folder / limit).read_text(encoding="utf-8")) - int((folder / used).read_text(encoding="utf-8"))
                )
            except (OSError, ValueError):  # no such group, or "max": no limit
                continue
    return left


def _own_groups() -> list[str]:
    """The control groups of this process, as paths below the root of all."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    groups = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            groups.append(path.strip("/"))
    return [group for group in groups if group]


def _left_by_limits() -> list[int]:
    process = psutil.Process()
    if not hasattr(psutil, "RLIMIT_AS"):  # psutil has it on Linux alone
        return []
    used = process.memory_info()
    limits = [(process.rlimit(psutil.RLIMIT_AS)[0], used.vms), (process.rlimit(psutil.RLIMIT_DATA)[0], used.data)]
    return [limit - taken for limit, taken in limits if limit != psutil.RLIM_INFINITY]
