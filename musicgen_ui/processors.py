"""How many processors this process may keep busy."""

import contextlib
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors(environment=os.environ, quota: Path = _QUOTA) -> int:
    """Those that it may run on, its container's (cgroup v2) share of them, or what a Space says in CPU_CORES."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        share, period = quota.read_text().split()
        count = min(count, max(1, round(int(share) / int(period))))
    with contextlib.suppress(KeyError, ValueError):
        count = min(count, max(1, int(float(environment["CPU_CORES"]))))
    return count
