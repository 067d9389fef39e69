"""Peak memory of `dualface run` on a short and on a long video of the same kind.

python benchmarks/memory.py --short 60 --long 600
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

DUALFACE = (sys.executable, "-m", "dualface_core.cli")
LIMIT_GROWTH = 0.10
LIMIT_BYTES = 1_500_000_000


def peak_of(command: list[str]) -> int:
    """Highest resident memory of a command and its children together, in bytes, sampled every 50 ms."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        root = psutil.Process(process.pid)
        while not done.wait(0.05):
            total = 0
            try:
                for member in [root, *root.children(recursive=True)]:
                    total += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}")
    return peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=float, default=60, help="seconds of the short video")
    parser.add_argument("--long", type=float, default=600, help="seconds of the long video")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--folder", type=Path, help="keep the samples here, and take those that are here already")
    options = parser.parse_args()
    peaks = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name, seconds in (("short", options.short), ("long", options.long)):
            video = folder / f"{name}-{seconds:g}s.mp4"
            if not video.exists():
                sample = ["sample", str(video), "--seconds", str(seconds), "--size", options.size]
                subprocess.run([*DUALFACE, *sample], check=True, stdout=subprocess.DEVNULL)
            start = time.perf_counter()
            peaks[name] = peak_of([*DUALFACE, "run", str(video), "--encoder", "software"])
            print(
                f"{seconds:g} s: peak {peaks[name] / 1e6:.0f} MB, {time.perf_counter() - start:.0f} s", file=sys.stderr
            )
    growth = peaks["long"] / peaks["short"] - 1
    print(json.dumps({**peaks, "growth": round(growth, 4)}))
    if growth > LIMIT_GROWTH or peaks["long"] > LIMIT_BYTES:
        sys.exit(1)


if __name__ == "__main__":
    main()
