"""Wall time of `dualface run` against the plain ffmpeg command line, in one run, as paired ratios.

ffmpeg does the least that a split screen can be: one decode, two fixed crops, scale, hstack, x264 at the same preset
and CRF, the sound copied. `dualface run` tracks, plans, renders with moving cameras and verifies. Both are whole
processes, alternating, so that a machine that slows down slows both.

    python benchmarks/speed.py --seconds 60 --repeat 3
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

DUALFACE = (sys.executable, "-m", "dualface_core.cli")


def timed(command: list[str]) -> float:
    """Seconds that a command takes; its own output is shown if it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return seconds


def static_split(video: Path, output: Path, *, preset: str, crf: int, size: tuple[int, int]) -> list[str]:
    """The ffmpeg command line of a fixed split screen: the left and the right half, side by side at 1920x1080."""
    half = size[0] // 2
    width = min(half, size[1] * 8 // 9)
    graph = (
        f"[0:v]split[l][r];"
        f"[l]crop={width}:{size[1]}:{(half - width) // 2}:0,scale=960:1080:flags=bilinear[a];"
        f"[r]crop={width}:{size[1]}:{half + (half - width) // 2}:0,scale=960:1080:flags=bilinear[b];"
        "[a][b]hstack[v]"
    )
    coding = ["-c:v", "libx264", "-preset", preset, "-crf", str(crf), "-c:a", "copy", "-movflags", "+faststart"]
    return [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-i",
        str(video),
        "-filter_complex",
        graph,
        "-map",
        "[v]",
        "-map",
        "0:a?",
        *coding,
        str(output),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="measure this video instead of a sample")
    parser.add_argument("--seconds", type=float, default=60, help="length of the sample")
    parser.add_argument("--size", default="1920x1080", help="size of the sample")
    parser.add_argument("--repeat", type=int, default=3, help="pairs to measure")
    parser.add_argument("--preset", default="veryfast", help="x264 preset of both")
    parser.add_argument("--crf", type=int, default=20, help="x264 CRF of both")
    parser.add_argument("--limit", type=float, help="exit with 1 if the median ratio is above this")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("There is no ffmpeg command on this machine. Install it first.")
    width, height = (int(number) for number in options.size.split("x"))
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or Path(folder) / "talk.mp4"
        if options.video is None:
            timed([*DUALFACE, "sample", str(video), "--seconds", str(options.seconds), "--size", options.size])
        plain, ours = Path(folder) / "plain.mp4", Path(folder) / "ours.mp4"
        run = [
            *DUALFACE,
            "run",
            str(video),
            "-o",
            str(ours),
            "--encoder",
            "software",
            "--codec",
            "h264",
            "--preset",
            options.preset,
            "--quality",
            str(options.crf),
        ]
        for _ in range(options.repeat):
            reference = timed(static_split(video, plain, preset=options.preset, crf=options.crf, size=(width, height)))
            pairs.append({"ffmpeg": reference, "dualface": timed(run)})
        sizes = {"ffmpeg": plain.stat().st_size, "dualface": ours.stat().st_size}
    ratios = [pair["dualface"] / pair["ffmpeg"] for pair in pairs]
    result = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "ffmpeg": subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2],
        "pairs": pairs,
        "ratios": ratios,
        "median_ratio": median(ratios),
        "bytes": sizes,
    }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['machine']}, ffmpeg {result['ffmpeg']}, {options.preset}, CRF {options.crf}")
        for pair, ratio in zip(pairs, ratios, strict=True):
            print(f"ffmpeg {pair['ffmpeg']:7.1f} s   dualface run {pair['dualface']:7.1f} s   ratio {ratio:.2f}")
        print(f"median ratio {result['median_ratio']:.2f}; bytes {sizes['ffmpeg']:,} and {sizes['dualface']:,}")
    if options.limit is not None and result["median_ratio"] > options.limit:
        sys.exit(1)


if __name__ == "__main__":
    main()
