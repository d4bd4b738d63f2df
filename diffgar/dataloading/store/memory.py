"""How much memory this process may take: the host's, or less where its job has a limit of its own."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
V2 = ("memory.max", "memory.current", "inactive_file")  # limit, in use, and what of that is cache that can be dropped
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory(cgroup: Path = CGROUP, own_groups: Path = OWN_GROUPS) -> int:
    """Bytes of RAM that this process may still take.

    The smallest of what the host has free, what the job's control group and each group around it (Slurm, Docker) leave,
    and what the limits of the process's address space (`ulimit -v`) and of its own data (`ulimit -d`, without mapped
    files) leave. Files that are only cached count as free.
    """
    free = [psutil.virtual_memory().available, *_left_by_cgroups(cgroup, own_groups), *_left_by_limits()]
    return max(0, min(free))


def _left_by_cgroups(root: Path, own_groups: Path) -> list[int]:
    """What each group that this process is in leaves, of those that have a limit."""
    left = []
    for folder, (limit, used, cached) in _groups(root, own_groups):
        try:
            most, taken = (int((folder / name).read_text(encoding="utf-8")) for name in (limit, used))
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
        left.append(most - taken + _counted(folder / "memory.stat", cached))
    return left


def _groups(root: Path, own_groups: Path) -> list[tuple[Path, tuple[str, str, str]]]:
    """The folders of this process's groups and of those around them, up to the root, and the names of their files.

    In a container the paths may be the host's: then the root's own folder is the container's group.
    """
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    paths = {"": "/", "memory": "/"} | {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    found = []
    for top, names, controller in ((root, V2, ""), (root / "unified", V2, ""), (root / "memory", V1, "memory")):
        own = top / paths[controller].strip("/")
        found += [(folder, names) for folder in (own, *own.parents) if folder.is_relative_to(top)]
    return found


def _counted(path: Path, name: str) -> int:
    """A number of a `memory.stat`; 0 where it is not there."""
    try:
        words = dict(line.split() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return 0
    return int(words.get(name, 0))


def _left_by_limits() -> list[int]:
    """What the process's own limits leave."""
    process = psutil.Process()
    if not hasattr(psutil, "RLIMIT_AS"):  # psutil has it on Linux alone
        return []
    used = process.memory_info()
    limits = [(process.rlimit(psutil.RLIMIT_AS)[0], used.vms), (process.rlimit(psutil.RLIMIT_DATA)[0], used.data)]
    return [limit - taken for limit, taken in limits if limit != psutil.RLIM_INFINITY]
