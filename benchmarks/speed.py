"""What `dualface run` and a Dagster run take, against other programs in the same round, as paired ratios.

- **ffmpeg** does the least that a split screen can be: one decode, two fixed crops, scale, hstack, x264 at the same
  preset and CRF, the audio copied. Its crops are where dualface's cameras hold most of the time, so that both encode
  the same frames.
- **dualface** tracks, plans, renders with moving cameras, and verifies; **Dagster** is the job `process_video` on the
  same video, each in an instance and a store of its own (`python -m dualface_assets.service.demo`).
- **OpenCV** is the loop that one writes first (`benchmarks.opencv_loop`); **deface**, which blurs faces, runs at its
  defaults where it is installed. Neither makes what is wanted: they say what reading, detecting and writing cost.

All are whole processes, in turn, so that a machine that slows down slows all of them. Several copies of a video are
made by one `dualface run`, and by as many commands of the others at once.

Results go into a file when they are there, and what is there already, of the same machine, versions and commit, is not
measured again: a command that is stopped goes on where it was. Files of several machines make one page.

    python -m benchmarks.speed --results here.jsonl                     # `make bench`: all cases of the page
    python -m benchmarks.speed --cases lengths --programs ffmpeg dualface --results here.jsonl
    python -m benchmarks.speed --cases 4x60s@1920x1080:ultrafast --rounds 1
    python -m benchmarks.speed --page here.jsonl there.jsonl            # writes docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from benchmarks.measuring import cost
from benchmarks.samples import DRAWN_SECONDS, DRAWN_SIZE, drawn, sample
from benchmarks.speed_page import page
from benchmarks.speed_results import Case, Result, Results
from dualface_core import pipeline
from dualface_core.gpu.nvml import find_gpus
from dualface_core.media.probe import VideoInfo
from dualface_core.settings import Settings
from dualface_core.system.machine_cores import machine_cores
from dualface_core.tables.tile_plan import TilePlan

PYTHON: Final = (sys.executable, "-m")
CRF: Final = 20
"""Of all programs that encode with x264 by our choice."""

CODE: Final = ("dualface_core", "dualface_assets")
FOLDERS: Final = ("DUALFACE_CACHE", "DUALFACE_RUNTIME", "DUALFACE_STORE", "DUALFACE_WORK")
"""Settings on which figures do not depend."""

SIZES: Final = ("854x480", "1920x1080", "3840x2160")
CASES: Final = {
    "sizes": [f"{videos}x60s@{size}:veryfast" for size in SIZES for videos in (1, 4)],
    "presets": [f"{videos}x60s@1920x1080:ultrafast" for videos in (1, 4)],
    "lengths": [f"1x{seconds}s@{size}:veryfast" for size in SIZES[:2] for seconds in (10, 60, 300, 600, 1800)],
    "quick": ["2x3s@640x360:ultrafast"],
}
"""Groups of cases by name. All but `quick`, which shows that everything works, are the page's."""


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
    coding = ["-c:v", "libx264", "-preset", work.case.preset, "-crf", str(CRF), *audio]
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
"""Programs that make a whole result. Only these are given videos of more than a minute, unless others are named."""


def measure(
    case: Case,
    programs: Sequence[str],
    number: int,
    folder: Path,
    results: Results,
    file: Path | None,
    *,
    similar: bool,
) -> None:
    """Have programs do a case in turn, those of which there is no result of this round yet."""
    about = machine()
    missing = [program for program in programs if not results.of(about, case, program, number)]
    if not missing:
        return
    environment = dict(os.environ) | {
        "DUALFACE_ENCODER": "software",
        "DUALFACE_CODEC": "h264",
        "DUALFACE_PRESET": case.preset,
        "DUALFACE_QUALITY": str(CRF),
    }
    video = sample(folder, case.size, case.seconds)
    crops = framing(folder, case.size) if "ffmpeg" in missing else []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        copies = [Path(name) / f"{copy}.mp4" for copy in range(case.videos)]
        for copy in copies:
            shutil.copyfile(video, copy)
        for program in missing:
            work = Work(copies, Path(name) / program, crops, case)
            work.folder.mkdir()
            commands, outputs = PROGRAMS[program](work)
            print(f"round {number}, {case}: {program}", file=sys.stderr, flush=True)
            spent = cost(*commands, environment=environment)
            compared = similar and number == 1 and case.videos == 1 and case.seconds <= DRAWN_SECONDS
            result = Result(
                machine=about,
                case=case,
                program=program,
                number=number,
                date=f"{datetime.now(UTC):%Y-%m-%d}",
                cost=spent,
                output_bytes=sum(_size(output) for output in outputs),
                ssim=similarity(program, outputs[0], video, crops) if compared else None,
            )
            results.add(result, file)
            shutil.rmtree(work.folder)


def _size(output: Path) -> int:
    """Bytes of a result, or of all videos in a folder."""
    return sum(path.stat().st_size for path in ([output] if output.is_file() else output.rglob("*.mp4")))


def similarity(program: str, result: Path, video: Path, crops: Sequence[str]) -> float | None:
    """SSIM of luma and chroma of a result with what it encoded, over all frames; None where that is not known."""
    if program == "ffmpeg":
        return _ssim(result, video, split_graph(crops))
    if program != "dualface":
        return None
    source, plan = planned(video)
    with tempfile.TemporaryDirectory(dir=result.parent) as folder:
        reference = Path(folder) / "reference.mp4"
        best = Settings(encoder="software", preset="ultrafast", quality=1)
        pipeline.render_with_software(source, plan, reference, settings=best)
        return _ssim(result, reference, "[0:v]null[v]")


def _ssim(result: Path, source: Path, graph: str) -> float:
    """With what `graph` makes of the source."""
    filters = f"{graph};[1:v][v]ssim"
    command = ["ffmpeg", "-hide_banner", "-i", str(source), "-i", str(result), "-filter_complex", filters]
    said = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"SSIM .*All:([0-9.]+)", said)
    assert found, said
    return float(found[1])


def planned(video: Path) -> tuple[VideoInfo, TilePlan]:
    """What the file is, and what dualface's cameras show of it."""
    settings = Settings()
    found = pipeline.probe(video)
    with pipeline.worker_processes(settings) as workers:
        return found, pipeline.plan_tiles(found, pipeline.track(found, settings=settings, workers=workers))


@cache
def framing(folder: Path, size: str) -> list[str]:
    """The crops of dualface's own cameras, at a size: of each the median over the whole video that is drawn.

    The plan is kept in the folder, for the next command that measures the same code.
    """
    if size != DRAWN_SIZE:
        scale = int(size.partition("x")[0]) / int(DRAWN_SIZE.partition("x")[0])
        return [
            ":".join(f"{int(part) * scale:.0f}" for part in crop.split(":")) for crop in framing(folder, DRAWN_SIZE)
        ]
    kept = folder / f"{machine()['commit']}.tiles.parquet"
    if not kept.exists():
        planned(drawn(folder))[1].write(kept)
    crops = []
    for x, y, width, height in np.nanmedian(TilePlan.read(kept).crop_windows, axis=0)[:2]:
        crops.append(f"{width:.0f}:{height:.0f}:{max(0, x - width / 2):.0f}:{max(0, y - height / 2):.0f}")
    return crops


@cache
def machine() -> dict[str, str]:
    """What figures depend on, by names for people: the machine, versions, settings, the last commit of the code."""
    cpu = next(
        (line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    cards = [gpu.name for gpu in find_gpus().gpus] if Settings().backend != "cpu" else []
    packages = ("av", "onnxruntime", "opencv-python-headless", "dagster")
    commit = _said("git", "log", "-1", "--format=%h", "--", *CODE)
    commit += "-dirty" if _said("git", "status", "--porcelain", *CODE) else ""
    settings = [
        f"{name.removeprefix('DUALFACE_').lower()} {Path(value).name}"
        for name, value in sorted(os.environ.items())
        if name.startswith("DUALFACE_") and name not in FOLDERS
    ]
    return {
        "cores": str(machine_cores()),
        "processor": cpu.strip() or platform.machine(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "card": ", ".join(cards) or "none used",
        "commit": commit or "unknown",
        "settings": ", ".join(settings) or "defaults",
        "Python": platform.python_version(),
        "ffmpeg": _said("ffmpeg", "-version").split()[2],
        "deface": _said("deface", "--version") or "not installed",
        **{name: _version(name) for name in packages},
    }


def _said(*command: str) -> str:
    """What a command says; nothing if there is no such command, or it fails."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def chosen(names: Sequence[str]) -> list[Case]:
    """The cases of groups, and those that are named one by one; each once. Raises ValueError."""
    return [Case.parse(text) for text in dict.fromkeys(text for name in names for text in CASES.get(name, [name]))]


def main() -> None:
    """Measure and print, or write the page of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    page_cases = [name for name in CASES if name != "quick"]
    parser.add_argument("--cases", nargs="+", default=page_cases, help=f"{', '.join(CASES)}, or cases")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, help="which ones; all that suit a case without it")
    parser.add_argument("--rounds", type=int, default=3, help="how often each program does each case")
    parser.add_argument("--results", type=Path, help="the file of results, to which new ones are added")
    parser.add_argument("--page", nargs="+", type=Path, help="measure nothing: write docs/benchmarks.md of these files")
    parser.add_argument("--no-ssim", action="store_true", help="do not compare results with what was encoded")
    parser.add_argument("--folder", type=Path, default=Settings().cache / "benchmarks", help="where samples are kept")
    options = parser.parse_args()
    if options.page:
        page(Results.read(*options.page)).write(Path("docs"))
        return
    if shutil.which("ffmpeg") is None:
        sys.exit("There is no ffmpeg command on this machine. Install it first.")
    try:
        cases = chosen(options.cases)
    except ValueError as error:
        parser.error(str(error))
    there = options.results is not None and options.results.exists()
    results = Results.read(options.results) if there else Results([])
    for number in range(1, options.rounds + 1):
        for case in cases:
            suited = WHOLE if case.seconds > DRAWN_SECONDS else tuple(PROGRAMS)
            programs = [name for name in options.programs or suited if name != "deface" or shutil.which("deface")]
            measure(case, programs, number, options.folder, results, options.results, similar=not options.no_ssim)
    print(page(results).text)


if __name__ == "__main__":
    main()
