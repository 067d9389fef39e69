"""The processes of a test."""

from __future__ import annotations

import psutil


def children() -> list[psutil.Process]:
    """Those that this process has started, but for multiprocessing's two servers, which stay for the next tests."""
    return [child for child in psutil.Process().children() if "multiprocessing." not in " ".join(child.cmdline())]
