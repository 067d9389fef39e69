"""How many frames a second tracking and verification go through: several videos at once, on a CUDA card or without it.

Each video has a process, as in `dualface run`, which begins when all have loaded what they need and have tracked the
video once, so that the processes for a card, which they share, are there. Then all track it, and all verify one result
of it. Each prints what it took; the rate is of all frames by the time from the first begin to the last end.

    python -m benchmarks.observing VIDEO --videos 4 --times 10
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks.samples import repeated
from dualface_core import pipeline
from dualface_core.engine.card import CardAccess
from dualface_core.gpu.nvml import find_gpus, load_reader
from dualface_core.settings import Settings


def child(video: Path, result: Path, made: Path, card: CardAccess | None, place: int) -> None:
    """Track once; then, for each line that comes, do a step."""
    settings = Settings()
    with pipeline.workers_of_batch(settings, card) as workers:
        workers.place = place
        source = pipeline.probe(video)
        tracks = pipeline.track(source, settings=settings, workers=workers)
        plan = pipeline.plan_tiles(source, tracks, settings=settings)
        if not result.exists():
            software = settings.overlaid(encoder="software", preset="ultrafast", backend="cpu")
            pipeline.render_with_software(source, plan, result, settings=software, fingerprints=made, workers=workers)
        print("ready", flush=True)
        for line in sys.stdin:
            if line == "track\n":
                pipeline.track(source, settings=settings, workers=workers)
            else:
                found = pipeline.verify(
                    result,
                    video=source,
                    tracks=tracks,
                    plan=plan,
                    settings=settings,
                    fingerprints=made,
                    workers=workers,
                )
                assert found.passed, [finding.message for finding in found.failures]
            print("done", flush=True)


def memory_in_use() -> float:
    """Of the first card, in MiB."""
    with load_reader(next(iter(find_gpus().gpus), None)) as load:
        return (load().memory_used or 0) / (1 << 20)


def main() -> None:
    """Print a line for each step and round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--videos", type=int, default=4, help="how many at once")
    parser.add_argument("--times", type=int, default=1, help="play the video so many times")
    parser.add_argument("--repeat", type=int, default=2, help="rounds")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        result, made, card, place = options.child
        access = CardAccess.model_validate_json(card) if card else None
        child(options.video, Path(result), Path(made), access, int(place))
        return
    with tempfile.TemporaryDirectory() as folder, pipeline.worker_processes(Settings()) as workers:
        video, result, prints = (Path(folder) / name for name in ("video.mp4", "result.mp4", "fingerprints"))
        repeated(options.video, options.times, video)
        frames = options.videos * pipeline.probe(video).frame_count
        command = [sys.executable, "-m", "benchmarks.observing", str(video), "--child", str(result), str(prints)]
        card = workers.card.model_dump_json() if workers.card else ""
        environment = os.environ | {"DUALFACE_STREAMS": str(options.videos)}
        children: list[subprocess.Popen[str]] = []
        for number in range(options.videos):
            children.append(
                subprocess.Popen(
                    [*command, card, str(number)],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    bufsize=1,
                )
            )
            if number == 0:  # which makes the result
                said_by(children[0], "ready\n")
        for one in children[1:]:
            said_by(one, "ready\n")
        for number in range(options.repeat):
            for step in ("track", "verify"):
                begun = perf_counter()
                for one in children:
                    assert one.stdin
                    one.stdin.write(f"{step}\n")
                for one in children:
                    said_by(one, "done\n")
                took = perf_counter() - begun
                print(
                    f"{step}, {options.videos} at once, round {number + 1}: {frames / took:,.0f} frames/s "
                    f"({took:.1f} s), {memory_in_use():,.0f} MiB of the card in use",
                    flush=True,
                )
        for one in children:
            one.communicate()


def said_by(process: subprocess.Popen[str], expected: str) -> None:
    """Wait until a process says something; end if it says something else."""
    assert process.stdout
    if process.stdout.readline() != expected:
        sys.exit(f"{process.args} failed.")


if __name__ == "__main__":
    main()
