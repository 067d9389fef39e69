"""How many cores this process may use, which are fewer than the machine has where it is in a container."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path


def machine_cores() -> int:
    """Cores that this process may use: by its affinity, and by the CPU quota of its control groups, rounded up."""
    quotas = _quotas(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, quotas)]))


def _quotas(root: Path, own: Path) -> list[float]:
    """The quotas, in cores, of the control groups (version 2) that this process is in."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    group = root / line.removeprefix("0::").strip("/")
    found = []
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):  # the topmost group has none, and "max" is none
            most, period = (folder / "cpu.max").read_text().split()
            found.append(int(most) / int(period))
        if folder == root:
            break
    return found
