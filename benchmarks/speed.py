"""Wall time of `dualface run` against the plain ffmpeg command line, in one run, as paired ratios.

ffmpeg does the least that a split screen can be: one decode, two fixed crops, scale, hstack, x264 at the same preset
and CRF, the audio copied. Its crops are where dualface's cameras hold most of the time, so that both encode the same
frames. A second ffmpeg command cuts the frame into halves, which need no scaling and, since people are smaller in
them, less encoding; its ratio is printed too. `dualface run` tracks, plans, renders with moving cameras and verifies.
All are whole processes, in turn, so that a machine that slows down slows all of them. With `--videos`, so many copies
of the video are made by one `dualface run`, and by as many ffmpeg commands at once.

    python -m benchmarks.speed --seconds 60 --repeat 3
    python -m benchmarks.speed --seconds 60 --repeat 3 --videos 4 --preset ultrafast
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from dualface_core import pipeline

DUALFACE = (sys.executable, "-m", "dualface_core.cli")


def timed(*commands: list[str]) -> float:
    """Seconds that commands take that are started at once; the output of one that fails is shown."""
    start = time.perf_counter()
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands
    ]
    said = [process.communicate()[0] for process in running]
    seconds = time.perf_counter() - start
    for command, process, text in zip(commands, running, said, strict=True):
        if process.returncode:
            sys.exit(f"{' '.join(command)}\n{text}")
    return seconds


def static_split(video: Path, output: Path, crops: list[str], *, preset: str, crf: int) -> list[str]:
    """The ffmpeg command line of a fixed split screen: two crops ("width:height:x:y"), side by side at 1920x1080."""
    left, right = crops
    graph = f"[0:v]split[l][r];[l]crop={left},scale=960:1080[a];[r]crop={right},scale=960:1080[b];[a][b]hstack[v]"
    audio = ["-map", "0:a?", "-c:a", "copy"]
    coding = ["-c:v", "libx264", "-preset", preset, "-crf", str(crf), *audio, "-movflags", "+faststart"]
    reading = ["ffmpeg", "-v", "error", "-y", "-i", str(video), "-filter_complex", graph, "-map", "[v]"]
    return [*reading, *coding, str(output)]


def halves(size: tuple[int, int]) -> list[str]:
    """Crops of a tile's shape out of the middle of the left and the right half."""
    half = size[0] // 2
    width = min(half, size[1] * 8 // 9)
    aside = (half - width) // 2
    return [f"{width}:{size[1]}:{left + aside}:0" for left in (0, half)]


def framing(video: Path) -> list[str]:
    """The crops of dualface's own cameras: of each the median over the whole video."""
    found = pipeline.probe(video)
    plan = pipeline.plan_tiles(found, pipeline.track(found))
    crops = []
    for x, y, width, height in np.median(plan.crop_windows, axis=0):
        crops.append(f"{width:.0f}:{height:.0f}:{x - width / 2:.0f}:{y - height / 2:.0f}")
    return crops


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="measure this video instead of a sample")
    parser.add_argument("--seconds", type=float, default=60, help="length of the sample")
    parser.add_argument("--size", default="1920x1080", help="size of the sample")
    parser.add_argument("--videos", type=int, default=1, help="how many copies of it at once")
    parser.add_argument("--repeat", type=int, default=3, help="rounds to measure")
    parser.add_argument("--preset", default="veryfast", help="x264 preset of both")
    parser.add_argument("--crf", type=int, default=20, help="x264 CRF of both")
    parser.add_argument("--limit", type=float, help="exit with 1 if the median ratio to the same framing is above this")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("There is no ffmpeg command on this machine. Install it first.")
    width, height = (int(number) for number in options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or Path(folder) / "talk.mp4"
        if options.video is None:
            timed([*DUALFACE, "sample", str(video), "--seconds", str(options.seconds), "--size", options.size])
        copies = [Path(folder) / f"{number}.mp4" for number in range(options.videos)]
        for copy in copies:
            shutil.copyfile(video, copy)
        plain, ours = ([Path(folder) / name / copy.name for copy in copies] for name in ("plain", "ours"))
        for path in (plain[0], ours[0]):
            path.parent.mkdir()
        run = [*DUALFACE, "run", *map(str, copies), "-o", str(ours[0].parent), "--encoder", "software"]
        run += ["--codec", "h264", "--preset", options.preset, "--quality", str(options.crf)]
        ours = [path.with_suffix(".split.mp4") for path in ours]
        crops = {"same framing": framing(video), "halves": halves((width, height))}
        coding = {"preset": options.preset, "crf": options.crf}
        commands = {
            name: [static_split(copy, output, crop, **coding) for copy, output in zip(copies, plain, strict=True)]
            for name, crop in crops.items()
        }
        sizes: dict[str, int] = {}
        rounds = []
        for _ in range(options.repeat):
            seconds = {}
            for name, together in commands.items():
                seconds[name] = timed(*together)
                sizes[name] = sum(path.stat().st_size for path in plain)
            seconds["dualface"] = timed(run)
            sizes["dualface"] = sum(path.stat().st_size for path in ours)
            rounds.append(seconds)
    ratios = {name: median(seconds["dualface"] / seconds[name] for seconds in rounds) for name in commands}
    result = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "ffmpeg": subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2],
        "videos": options.videos,
        "crops": crops,
        "seconds": rounds,
        "median_ratios": ratios,
        "bytes": sizes,
    }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"{result['machine']}, ffmpeg {result['ffmpeg']}, {options.videos} x {video.name}, {options.preset}, "
            f"CRF {options.crf}"
        )
        for seconds in rounds:
            print("   ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
        for name, ratio in ratios.items():
            print(f"dualface run takes {ratio:.2f} times ffmpeg's time ({name}: {crops[name]})")
        print("bytes: " + ", ".join(f"{name} {value:,}" for name, value in sizes.items()))
    if options.limit is not None and ratios["same framing"] > options.limit:
        sys.exit(1)


if __name__ == "__main__":
    main()
