from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("session_process.py")


class Worker:
    """A process that is told to take and give back slots."""

    def __init__(self, folder: Path, limit: int, timeout: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(folder), str(limit), str(timeout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.children: list[int] = []
        assert self.answer() == {"ready": True}

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, *words: object) -> None:
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        return json.loads(self.process.stdout.readline())

    def ask(self, *words: object) -> dict:
        self.tell(*words)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        for child in self.children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start a process that obeys; it is ended with the test."""
    workers: list[Worker] = []

    def begin(*, limit: int = 2, timeout: float = 120.0) -> Worker:
        workers.append(Worker(tmp_path / "run", limit, timeout))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.end()
