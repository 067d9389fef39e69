"""Whole jobs at the pace of a given card's NVENC: files in, verified files out, with everything but its silicon.

The encoder is emulated (docs/nvenc-emulator.md): each session takes pictures at a published pace, 708 a second for
H.264 at preset P3 on Blackwell, and gives the packets of a stream that x264 made from the same plan before, so that the
results are real files. All else is this machine's: with `--real-cuda` its card decodes and composes. One `dualface run`
works on all videos. The feed is what the sessions took, from the first picture of any to the last one.

With `--feed`, the plan is made once, and all videos are rendered from it at once: what can be fed to so many sessions.

    python -m benchmarks.nvenc_pace --real-cuda
    python -m benchmarks.nvenc_pace --real-cuda --feed --videos 8 --sessions 8 --rate 0 --times 3
    python -m benchmarks.nvenc_pace --video talk.mp4 --times 1 --videos 2
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av

from benchmarks.samples import repeated
from dualface_core import pipeline
from dualface_core.engine.stages import Stage, time_line
from dualface_core.rendering.choice import choose_encoder
from dualface_core.rendering.report import EncodeReport
from dualface_core.settings import Settings
from tests.nvenc_emulator import EmulatedDriver, Event
from tests.nvenc_emulator.replay import bare_stream

DUALFACE = (sys.executable, "-m", "dualface_core.cli")

CHECKED = 100
"""Of so many pictures, the emulated card checks one."""


def run(command: list[str]) -> None:
    """Run a command; one that fails ends the program with what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")


def sessions_of(events: list[Event], size: tuple[int, int]) -> list[list[Event]]:
    """The pictures of each session that encoded a size, in order."""
    sessions: list[list[Event]] = []
    running: dict[tuple[int, int | None], list[Event]] = {}
    for event in events:
        pictures = running.setdefault((event.pid, event.slot), [])
        if event.name == "picture":
            pictures.append(event)
        elif event.name == "configured":
            pictures = running[event.pid, event.slot] = []
            if (event.configuration["width"], event.configuration["height"]) == size:
                sessions.append(pictures)
    return sessions


def rate(pictures: list[Event]) -> float:
    """Pictures a second, from the first one to the last."""
    times = sorted(picture.time for picture in pictures)
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def feed(video: Path, folder: Path, times: int) -> list[EncodeReport]:
    """Render a video with NVENC so many times at once."""
    settings = Settings.load().overlaid(encoder="nvenc")
    with pipeline.worker_processes(settings) as workers:
        source = pipeline.probe(video)
        plan = pipeline.plan_tiles(source, pipeline.track(source, settings=settings, workers=workers))
    choice = choose_encoder(settings)

    def rendered(number: int) -> EncodeReport:
        return pipeline.render_with_nvenc(source, plan, folder / f"{number}.mp4", choice, settings=settings)

    with ThreadPoolExecutor(times) as threads:
        return [*threads.map(rendered, range(times))]


def main() -> None:
    """Measure and print; end with 1 where a result is not a verified one of NVENC's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="play this video instead of a sample of 57.2 s at 1080p")
    parser.add_argument("--times", type=int, default=10, help="play it so many times (default: 10, so 9 min 32 s)")
    parser.add_argument("--videos", type=int, default=4, help="how many of them")
    parser.add_argument("--rate", type=float, default=708, help="pictures a second of a session; 0 for no pace")
    parser.add_argument("--sessions", type=int, default=2, help="sessions at once")
    parser.add_argument("--real-cuda", action="store_true", help="use this machine's card for all but the encoder")
    parser.add_argument("--keep", type=Path, help="keep the made videos and streams here, and use those that are there")
    parser.add_argument("--feed", action="store_true", help="render all at once from one plan, and nothing else")
    parser.add_argument("--feeding", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.feeding:
        reports = feed(options.video, options.feeding, options.videos)
        print(json.dumps([{"report": report.model_dump(mode="json")} for report in reports]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        made = options.keep or Path(temporary)
        made.mkdir(exist_ok=True)
        video = made / f"{options.times} times.mp4"
        stream = video.with_suffix(".h264")
        if not video.exists():
            sample = options.video or made / "sample.mp4"
            if not options.video:
                run([*DUALFACE, "sample", str(sample), "--seconds", "57.2", "--size", "1920x1080"])
            repeated(sample, options.times, video)
        if not stream.exists():
            begun = time.perf_counter()
            no_b_pictures = ["--encoder", "software", "--preset", "ultrafast"]
            run([*DUALFACE, "run", str(video), "-o", temporary, *no_b_pictures])
            bare_stream(Path(temporary) / f"{video.stem}.split.mp4", stream)
            print(f"the stream to replay took {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
        copies = [Path(temporary) / f"{number}.mp4" for number in range(options.videos)]
        for copy in copies:
            shutil.copyfile(video, copy)
        driver = EmulatedDriver(
            Path(temporary) / "host",
            sessions=options.sessions,
            pace_ms=1000 / options.rate if options.rate else 0,
            replay=stream,
            checksum_every=CHECKED,
            real_cuda=options.real_cuda,
        )
        own = {"DUALFACE_RUNTIME": f"{temporary}/runtime", "DUALFACE_NVENC_MAX_SESSIONS": str(options.sessions)}
        job = [*DUALFACE, "run", *map(str, copies), "-o", f"{temporary}/out", "--encoder", "nvenc", "--json"]
        if options.feed:
            program = (sys.executable, "-m", "benchmarks.nvenc_pace")
            job = [*program, "--feeding", temporary, "--video", str(video), "--videos", str(options.videos)]
        environment = os.environ | driver.environment() | own
        start = time.monotonic()
        done = subprocess.run(job, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        seconds = time.monotonic() - start
        reports = [result.get("report") or {} for result in json.loads(done.stdout or "[]")]
        with av.open(str(video)) as container:
            lasts = (container.duration or 0) / av.time_base
        with av.open(str(stream)) as container:
            size = container.streams.video[0].width, container.streams.video[0].height
        sessions = sessions_of(driver.events(), size)
    pictures = [picture for session in sessions for picture in session]
    checked = {(picture.pictures, picture.checksum) for picture in pictures if picture.checksum is not None}
    encoders = [report.get("encoder_used") for report in reports]
    result = {
        "seconds": seconds,
        "frames_a_second": len(pictures) / seconds,
        "feed_of_all_sessions": rate(pictures),
        "feed_of_each": [rate(session) for session in sessions],
        "seconds_of_each": [[picture.time - start for picture in (session[0], session[-1])] for session in sessions],
        "stages": [report.get("stages") for report in reports],
        "at_once": driver.sessions,
        "encoders": encoders,
        "all_given_the_same": len(checked) == len({number for number, _ in checked}),
    }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{options.videos} videos of {lasts:.0f} s: {seconds:.1f} s, {len(pictures) / seconds:.0f} frames/s")
        each = ", ".join(
            f"{rate(session):.0f} ({session[0].time - start:.1f} to {session[-1].time - start:.1f} s)"
            for session in sessions
        )
        print(f"feed of sessions at {options.rate:g}: {rate(pictures):.0f} pictures a second in all; each: {each}")
        stages = [Stage.model_validate(stage) for report in reports for stage in report.get("stages", [])]
        print(f"where the time went: {time_line(stages)}")
        print(f"encoded by {', '.join(map(str, encoders))}; the same pictures of each: {result['all_given_the_same']}")
    if done.returncode or encoders != ["h264_nvenc"] * options.videos:
        sys.exit(1)


if __name__ == "__main__":
    main()
