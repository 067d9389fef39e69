"""A process that works on a run, as a run's own process does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

WORKER = """
import sys
import dagster as dg
from dualface_assets.runs.workers import work_on

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    work_on(instance.get_run_by_id(sys.argv[2]), instance)
    print("at work", flush=True)
    sys.stdin.read()
"""


@contextmanager
def working_on(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Iterator[subprocess.Popen[str]]:
    """A process that works on a run until its input ends, or the block does."""
    command = [sys.executable, "-c", WORKER, instance.root_directory, run.run_id]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "at work\n"
        try:
            yield worker
        finally:
            worker.kill()


def killed_at(run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
    """A process that has worked on a run and was killed."""
    with working_on(run, instance):
        pass
