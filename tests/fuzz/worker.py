"""One process that takes mutants until it is told to end, or dies of one: `python -m tests.fuzz.worker FOLDER`.

Reads a line of JSON for each mutant and answers with one: what became of it, and what it has left behind.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import sys
from pathlib import Path
from time import perf_counter

import psutil

from dualface_core import pipeline
from dualface_core.errors import DualfaceError
from dualface_core.settings import Settings
from dualface_core.system.child_processes import end_with_parent
from dualface_core.system.threads import limit_library_threads
from tests.fuzz.mutants import mutant

MEMORY = 3 << 30
CPU_SECONDS = 120
"""Bytes of address space, beyond what a healthy run has taken, and processor time for a mutant."""


def outcome(source: Path, output: Path, *, whole: bool) -> str:
    """What becomes of a mutant: "probed", "verified", the class of an error, or a bug."""
    try:
        if not whole:
            pipeline.probe(source)
            return "probed"
        settings = Settings(encoder="software", preset="ultrafast")
        pipeline.process(source, output, settings=settings)
    except DualfaceError as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001  which is what is looked for
        return f"bug: {type(error).__name__}: {error}"
    return "verified"


def _allow_cpu() -> None:
    used = sum(os.times()[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (round(used) + CPU_SECONDS, resource.RLIM_INFINITY))


def _open_files() -> set[str]:
    gc.collect()
    links = Path("/proc/self/fd").iterdir()
    return {str(link.readlink()) for link in links if link.is_symlink() and link.readlink().is_file()}


def main() -> None:
    """Work on what comes."""
    end_with_parent()
    limit_library_threads()
    folder = Path(sys.argv[1])
    sources, outputs, temporary = (folder / name for name in ("in", "out", "tmp"))
    for each in (sources, outputs, temporary):
        each.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    first = json.loads(sys.stdin.readline())  # a healthy one, so that everything is loaded
    outcome(Path(first["seed"]), outputs / "healthy.mp4", whole=True)
    for path in outputs.iterdir():
        path.unlink()
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    before = _open_files()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        seed = Path(job["seed"])
        source = sources / seed.name
        source.write_bytes(mutant(seed.read_bytes(), seed.name, job["number"]))
        _allow_cpu()
        started = perf_counter()
        found = outcome(source, outputs / "result.mp4", whole=job["whole"])
        seconds = perf_counter() - started
        made = {"result.mp4", "result.report.json"} if found == "verified" else set()
        partial = sorted({path.name for path in outputs.iterdir()} ^ made)
        children = [child.name() for child in psutil.Process().children(recursive=True)]
        left = [*(path.name for path in temporary.iterdir()), *children, *sorted(_open_files() - before)]
        print(json.dumps({"found": found, "seconds": seconds, "partial": partial, "left": left}), flush=True)
        for place in (sources, outputs, temporary):
            for path in place.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
