"""The processes of a test."""

from __future__ import annotations

import psutil

SERVERS = ("multiprocessing.", "tests.s3_server", "/postgres ")
"""In the command lines of those that serve all tests, until the last one has ended."""


def children() -> list[psutil.Process]:
    """Those that this process has started, but for servers, which stay for the next tests."""
    started = [(child, " ".join(child.cmdline())) for child in psutil.Process().children()]
    return [child for child, command in started if not any(server in command for server in SERVERS)]
