"""CPU time of verifying one result, by this checkout and by another one, in turn: has a change made it dearer?

Each checkout has a process, which renders the sample scene `talk` and then verifies its result whenever it is told to.
CPU time of all threads is taken, not wall time, and the two take turns, so that others on the machine matter little.

    git worktree add /tmp/before COMMIT && python -m benchmarks.verifying --against /tmp/before
"""

from __future__ import annotations

import argparse
import inspect
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from dualface_core import pipeline
from dualface_core.sample import make_sample
from dualface_core.settings import Settings
from dualface_core.system.threads import limit_library_threads

ROOT = Path(__file__).parents[1]


def serve(folder: Path, seconds: float) -> None:
    """Render, and for each line of standard input verify and print the seconds of CPU time that it took."""
    settings = Settings(encoder="software")
    source, result, fingerprints = folder / "source.mp4", folder / "result.mp4", folder / "fingerprints"
    make_sample(source, scene="talk", seconds=seconds, width=1920, height=1080, fps=30, seed=0, cache=settings.cache)
    video = pipeline.probe(source)
    tracks = pipeline.track(video, settings=settings)
    plan = pipeline.plan_tiles(video, tracks)
    # Earlier checkouts have no fingerprints to write and to read, and the first ones no settings of verification.
    taken = inspect.signature(pipeline.verify).parameters
    given = {"fingerprints": fingerprints, "settings": settings}
    given = {name: value for name, value in given.items() if name in taken}
    pipeline.render_with_software(video, plan, result, **(given | {"settings": settings}))
    for _ in sys.stdin:
        before = time.process_time()
        verification = pipeline.verify(result, video=video, tracks=tracks, plan=plan, **given)
        assert verification.passed, [finding.message for finding in verification.failures]
        print(time.process_time() - before, flush=True)


def main() -> None:
    """Measure and print."""
    limit_library_threads()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout; this one alone if left out")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.seconds)
        return
    checkouts = [checkout for checkout in (options.against, ROOT) if checkout]
    with tempfile.TemporaryDirectory() as scratch:
        processes = []
        for number, checkout in enumerate(checkouts):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            command = [sys.executable, __file__, "--serve", str(folder), "--seconds", str(options.seconds)]
            environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "OPENBLAS_NUM_THREADS": "1"}
            processes.append(
                subprocess.Popen(
                    command, env=environment, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
        taken: list[list[float]] = [[] for _ in checkouts]
        for turn in range(options.repeat + 1):
            for process, seconds in zip(processes, taken, strict=True):
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    sys.exit(f"{process.args} ended without a figure.")
                if turn:  # the first is to warm up
                    seconds.append(float(line))
        for process in processes:
            process.communicate()
    for checkout, seconds in zip(checkouts, taken, strict=True):
        figures = ", ".join(f"{value:.2f}" for value in seconds)
        print(f"{checkout}: median {median(seconds):.2f} s of CPU ({figures})")
    if len(checkouts) > 1:
        ratios = [ours / theirs for theirs, ours in zip(*taken, strict=True)]
        print(f"this checkout / the other: median {median(ratios):.3f} of {len(ratios)} pairs")


if __name__ == "__main__":
    main()
