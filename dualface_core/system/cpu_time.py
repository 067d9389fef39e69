"""The CPU time of a process, as the kernel counts it."""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """CPU time of this process so far, and of its children that have ended."""
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in found)
