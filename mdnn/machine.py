"""The number of cores that this process may use, and memory that it no longer needs."""

import ctypes
import gc
import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cores():
    """Returns the number of cores that this process may use, an int of at least 1.

    This is the minimum of the machine's cores, the process's CPU affinity, and the quota of its
    control groups (Docker's `--cpus`, Kubernetes' limits), rounded up.
    """
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    quota = cgroup_quota()
    return number if quota is None else max(1, min(number, math.ceil(quota)))


def return_free_memory():
    """Returns unused memory to the system, if the C library supports it (glibc).

    glibc does not return freed blocks of a megabyte and less: after a network was opened and
    dropped they can be half of what the process holds.
    """
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)


def cgroup_quota():
    """Returns the quota of processor time of this process's control groups, in cores.

    Control groups are nested; the smallest quota applies.

    Returns:
        float; `None` without a quota, and on systems other than Linux.
    """
    try:
        lines = OWN_CGROUPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            quotas += [_read_v2(folder) for folder in _and_above(CGROUPS, path)]
        elif "cpu" in controllers.split(","):
            for name in {controllers, "cpu", "cpu,cpuacct"}:
                quotas += [_read_v1(folder) for folder in _and_above(CGROUPS / name, path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _and_above(root, path):
    """Returns the folder of a control group in its file system, and its parent folders.

    Inside a container the path is often that of the host and does not exist; the root of the file
    system is then the container's own group.
    """
    folder = root / path.lstrip("/")
    return [folder, *(above for above in folder.parents if above.is_relative_to(root))]


def _read_v2(folder):
    words = _words(folder / "cpu.max")
    if len(words) != 2 or words[0] == "max":
        return None
    return _quotient(*words)


def _read_v1(folder):
    quota = _words(folder / "cpu.cfs_quota_us")
    period = _words(folder / "cpu.cfs_period_us")
    return _quotient(quota[0], period[0]) if quota and period else None


def _words(file):
    try:
        return file.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return []


def _quotient(quota, period):
    """Returns the quota in cores, a float; `None` for no limit (-1) or an invalid number."""
    try:
        quota, period = int(quota), int(period)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None
