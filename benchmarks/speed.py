"""What `dualface run` and a Dagster run take, against other programs in the same round, as paired ratios.

- **ffmpeg** does the least that a split screen can be: one decode, two fixed crops, scale, hstack, x264 at the same
  preset and CRF, the audio copied. Its crops are where dualface's cameras hold most of the time, so that both encode
  the same frames.
- **dualface** tracks, plans, renders with moving cameras, and verifies; **Dagster** is the job `process_video` on the
  same video, each in an instance and a store of its own (`python -m dualface_assets.service.demo`).
- **OpenCV** is the loop that one writes first (`benchmarks.opencv_loop`); **deface**, which blurs faces, runs at its
  defaults where it is installed. Neither makes what is wanted: they say what reading, detecting and writing cost.

All are whole processes, in turn, so that a machine that slows down slows all of them. With `--videos`, so many copies
of the video are made by one `dualface run`, and by as many commands of the others at once.

    python -m benchmarks.speed --seconds 60 --repeat 3
    python -m benchmarks.speed --seconds 60 --videos 4 --preset ultrafast --only ffmpeg dualface
    python -m benchmarks.speed --all            # `make bench`: sizes, lengths, one and four videos; a page in docs/
    python -m benchmarks.speed --all --quick    # the same with two small videos, once, to see that it works; prints it
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from benchmarks.measuring import Case, Cost, Measured, cost
from benchmarks.memory import repeated
from benchmarks.speed_page import page
from dualface_core import pipeline
from dualface_core.engine.cores import machine_cores
from dualface_core.media.probe import VideoInfo
from dualface_core.settings import Settings
from dualface_core.tables.tile_plan import TilePlan

PYTHON: Final = (sys.executable, "-m")
LONGEST_SAMPLE: Final = 60.0
"""Seconds that are drawn; a longer video plays them again and again."""


@dataclass(frozen=True)
class Work:
    """What a program is given: copies of the video, a folder for results, the crops to film, and the case."""

    copies: list[Path]
    folder: Path
    crops: list[str]
    case: Case

    def outputs(self, suffix: str = ".mp4") -> list[Path]:
        """Where results go, one for each copy."""
        return [self.folder / copy.with_suffix(suffix).name for copy in self.copies]


Commands = list[list[str]]


def static_split(work: Work) -> tuple[Commands, list[Path]]:
    """A fixed split screen: two crops ("width:height:x:y"), side by side at 1920x1080."""
    audio = ["-map", "0:a?", "-c:a", "copy"]
    coding = ["-c:v", "libx264", "-preset", work.case.preset, "-crf", str(work.case.crf), *audio]
    reading = ["ffmpeg", "-v", "error", "-y", "-filter_complex", split_graph(work.crops), "-map", "[v]"]
    outputs = work.outputs()
    return [
        [*reading[:3], "-i", str(copy), *reading[3:], *coding, "-movflags", "+faststart", str(output)]
        for copy, output in zip(work.copies, outputs, strict=True)
    ], outputs


def split_graph(crops: Sequence[str]) -> str:
    """FFmpeg's filters of the fixed split screen, from [0:v] to [v]."""
    left, right = crops
    return f"[0:v]split[l][r];[l]crop={left},scale=960:1080[a];[r]crop={right},scale=960:1080[b];[a][b]hstack[v]"


def dualface(work: Work) -> tuple[Commands, list[Path]]:
    """One command for all videos."""
    run = [*PYTHON, "dualface_core.cli", "run", *map(str, work.copies), "-o", str(work.folder)]
    return [run], work.outputs(".split.mp4")


def dagster(work: Work) -> tuple[Commands, list[Path]]:
    """One run for each video, of instances and stores of their own, which share the cores of the host."""
    commands = []
    for copy in work.copies:
        home = work.folder / copy.stem
        variables = [f"DAGSTER_HOME={home / 'home'}", f"DUALFACE_STORE={home / 'store'}"]
        commands.append(["env", *variables, *PYTHON, "dualface_assets.service.demo", str(copy)])
    return commands, [work.folder / copy.stem / "store" / "encoded_video" for copy in work.copies]


def opencv(work: Work) -> tuple[Commands, list[Path]]:
    """The loop that one writes first."""
    outputs = work.outputs()
    pairs = zip(work.copies, outputs, strict=True)
    return [[*PYTHON, "benchmarks.opencv_loop", str(copy), str(output)] for copy, output in pairs], outputs


def deface(work: Work) -> tuple[Commands, list[Path]]:
    """The face blurring tool at its defaults."""
    outputs = work.outputs()
    pairs = zip(work.copies, outputs, strict=True)
    return [["deface", str(copy), "-o", str(output)] for copy, output in pairs], outputs


PROGRAMS: Final[dict[str, Callable[[Work], tuple[Commands, list[Path]]]]] = {
    "ffmpeg": static_split,
    "dualface": dualface,
    "Dagster": dagster,
    "OpenCV": opencv,
    "deface": deface,
}
WHOLE: Final = ("ffmpeg", "dualface", "Dagster")
"""Programs that make a whole result. Only these are given videos that are longer than what is drawn."""


def measure(case: Case, video: Path, programs: Sequence[str], rounds: int, *, similar: bool = True) -> Measured:
    """Have programs do a case in turn, so many times, and say how similar their results are to what they encoded."""
    environment = dict(os.environ) | {
        "DUALFACE_ENCODER": "software",
        "DUALFACE_CODEC": "h264",
        "DUALFACE_PRESET": case.preset,
        "DUALFACE_QUALITY": str(case.crf),
    }
    costs: dict[str, list[Cost]] = {program: [] for program in programs}
    size: dict[str, int] = {}
    ssim: dict[str, float] = {}
    source, plan = planned(video)
    with tempfile.TemporaryDirectory(dir=video.parent) as name:
        copies = [Path(name) / f"{number}.mp4" for number in range(case.videos)]
        for copy in copies:
            shutil.copyfile(video, copy)
        for number in range(rounds):
            for program in programs:
                work = Work(copies, Path(name) / program, framing(plan), case)
                work.folder.mkdir()
                commands, outputs = PROGRAMS[program](work)
                print(f"{case}: {program}", file=sys.stderr)
                costs[program].append(cost(*commands, environment=environment))
                size[program] = sum(_size(output) for output in outputs)
                if similar and number == 0 and program == "ffmpeg":
                    ssim[program] = similarity(outputs[0], video, split_graph(work.crops))
                if similar and number == 0 and program == "dualface":
                    reference = Path(name) / "reference.mp4"
                    best = Settings(encoder="software", preset="ultrafast", quality=1)
                    pipeline.render_with_software(source, plan, reference, settings=best)
                    ssim[program] = similarity(outputs[0], reference, "[0:v]null[v]")
                    reference.unlink()
                shutil.rmtree(work.folder)
    return Measured(case, costs, size, ssim)


def _size(output: Path) -> int:
    """Bytes of a result, or of all videos in a folder."""
    return sum(path.stat().st_size for path in ([output] if output.is_file() else output.rglob("*.mp4")))


def similarity(result: Path, source: Path, graph: str) -> float:
    """SSIM of luma and chroma of a result with what `graph` makes of its source, over all frames, by ffmpeg."""
    filters = f"{graph};[1:v][v]ssim"
    command = ["ffmpeg", "-hide_banner", "-i", str(source), "-i", str(result), "-filter_complex", filters]
    said = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"SSIM .*All:([0-9.]+)", said)
    assert found, said
    return float(found[1])


@cache
def planned(video: Path) -> tuple[VideoInfo, TilePlan]:
    """What the file is, and what dualface's cameras show of it."""
    settings = Settings()
    found = pipeline.probe(video)
    with pipeline.worker_processes(settings) as workers:
        return found, pipeline.plan_tiles(found, pipeline.track(found, settings=settings, workers=workers))


def framing(plan: TilePlan) -> list[str]:
    """The crops of dualface's own cameras: of each the median over the whole video."""
    crops = []
    for x, y, width, height in np.nanmedian(plan.crop_windows, axis=0)[:2]:
        crops.append(f"{width:.0f}:{height:.0f}:{max(0, x - width / 2):.0f}:{max(0, y - height / 2):.0f}")
    return crops


def sample(folder: Path, size: str, seconds: float) -> Path:
    """A video of that size and length: drawn, or the longest drawn one again and again."""
    path = folder / f"{size}-{seconds:g}s.mp4"
    if not path.exists():
        if seconds > LONGEST_SAMPLE:
            repeated(sample(folder, size, LONGEST_SAMPLE), round(seconds / LONGEST_SAMPLE), path)
        else:
            drawing = [*PYTHON, "dualface_core.cli", "sample", str(path), "--seconds", str(seconds), "--size", size]
            subprocess.run(drawing, check=True, stdout=subprocess.DEVNULL)
    return path


def cases(*, quick: bool) -> list[Case]:
    """Sizes, lengths, numbers of videos; `quick` to see that all of it works."""
    if quick:
        return [Case("640x360", 3, 2, "ultrafast")]
    sizes = ("854x480", "1920x1080", "3840x2160")
    return [
        *(Case(size, 60, videos, "veryfast") for size in sizes for videos in (1, 4)),
        *(Case("1920x1080", 60, videos, "ultrafast") for videos in (1, 4)),
        *(Case("1920x1080", seconds, 1, "veryfast") for seconds in (10, 600, 1800)),
    ]


def machine() -> dict[str, str]:
    """What figures depend on: the machine, and versions."""
    cpu = next(
        (line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    said = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    packages = ("dualface", "av", "torch", "opencv-python-headless", "dagster")
    return {
        "processor": f"{cpu.strip() or platform.machine()}, {machine_cores()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "Python": platform.python_version(),
        "ffmpeg": said,
        **{name: _version(name) for name in packages},
        **({"deface": version("deface")} if shutil.which("deface") else {}),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="all cases instead of one; writes docs/benchmarks.md")
    parser.add_argument("--quick", action="store_true", help="with --all: small cases, once, printed")
    parser.add_argument("--video", type=Path, help="measure this video instead of a sample")
    parser.add_argument("--seconds", type=float, default=60, help="length of the sample")
    parser.add_argument("--size", default="1920x1080", help="size of the sample")
    parser.add_argument("--videos", type=int, default=1, help="how many copies of it at once")
    parser.add_argument("--repeat", type=int, default=3, help="rounds to measure")
    parser.add_argument("--preset", default="veryfast", help="x264 preset of all")
    parser.add_argument("--crf", type=int, default=20, help="x264 CRF of all")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, help="programs to compare; ffmpeg is always one")
    parser.add_argument(
        "--no-ssim", action="store_true", help="leave out how similar the results are to what was encoded"
    )
    parser.add_argument("--folder", type=Path, help="keep the samples here, and take those that are here already")
    parser.add_argument(
        "--limit", type=float, help="exit with 1 if dualface takes more than so many times ffmpeg's time"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("There is no ffmpeg command on this machine. Install it first.")
    wanted = ["ffmpeg", *(name for name in options.only or PROGRAMS if name != "ffmpeg")]
    programs = [name for name in wanted if name != "deface" or shutil.which("deface")]
    one = Case(options.size, options.seconds, options.videos, options.preset, options.crf)
    rounds = 1 if options.quick else options.repeat
    about = machine()
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        for case in cases(quick=options.quick) if options.all else [one]:
            folder = options.folder or Path(temporary)
            video = options.video or sample(folder, case.size, case.seconds)
            asked = programs if case.seconds <= LONGEST_SAMPLE else [name for name in programs if name in WHOLE]
            found.append(measure(case, video, asked, rounds, similar=not options.no_ssim))
    if options.json:
        print(json.dumps({"machine": about, "cases": [dataclasses.asdict(each) for each in found]}, indent=2))
    elif options.all and not options.quick:
        page(found, about).write(Path("docs"))
    else:
        print(page(found, about).text)
    if options.limit is not None and any(each.ratio("dualface") > options.limit for each in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
