"""A program that has a job rendered with NVENC in a process of its own, as `rendering.isolated` does, and waits."""

from __future__ import annotations

import subprocess
import sys

from dualface_core.system.child_processes import command, environment


def main(job: str) -> None:
    """Start the encoding process, hand it the job, and read what it reports until it ends."""
    pipe = subprocess.PIPE
    worker = command("dualface_core.rendering.worker")
    with subprocess.Popen(worker, env=environment(None), stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job + "\n")
        process.stdin.flush()
        process.stdout.read()


if __name__ == "__main__":
    main(sys.argv[1])
