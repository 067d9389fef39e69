from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from dualface_core.cli.inputs import Job
from dualface_core.cli.show import BatchBar, Outcome, VideoBar, progress_bars, summary_table, totals
from dualface_core.errors import UnreadableVideoError
from dualface_core.rendering.report import EncodeReport
from dualface_core.verification.findings import Check, Finding, Verification


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def bars_by(clock: Clock) -> Progress:
    return progress_bars(get_time=clock)


def test_the_time_that_remains_counts_the_steps_to_come() -> None:
    clock = Clock()
    bars = bars_by(clock)
    video = VideoBar(bars, Path("talk.mp4"), BatchBar(bars, 1))
    remaining = []
    for step in ("track", "render", "verify"):
        for frame in range(1, 101):
            clock.now += 0.1
            video(step, frame, 100)
        remaining.append(bars.tasks[1].time_remaining or 0)
    assert remaining[0] > 10
    assert remaining[0] > remaining[1] > remaining[2] == 0


def test_the_bar_of_a_batch_moves_with_its_videos_and_counts_those_that_failed() -> None:
    bars = bars_by(Clock())
    batch = BatchBar(bars, 2)
    first, second = (VideoBar(bars, Path(name), batch) for name in ("a.mp4", "b.mp4"))
    first("render", 50, 100)
    assert 0.4 < bars.tasks[0].completed < 0.6
    first.end()
    second.end()
    assert bars.tasks[0].completed == 2
    assert bars.tasks[0].fields["count"] == "2/2"


def outcomes() -> list[Outcome]:
    doubt = Finding(check=Check.PEOPLE, passed=False, severity="warning", value=1, expected="2", message="One only.")
    report = EncodeReport(
        encoder_requested="auto",
        encoder_used="libx264",
        codec="h264",
        quality="crf 20",
        preset="fast",
        frames_in=1800,
        frames_out=1800,
        duration=60,
        size_bytes=1,
        wall_seconds=1,
        frames_per_second=1,
        versions={},
        verification=Verification(findings=[doubt]),
    )
    error = UnreadableVideoError("bad.mp4", "not a video", action="Send it again.")
    return [
        Outcome(Job(Path("talk.mp4"), Path("talk.split.mp4")), 30.0, report=report),
        Outcome(Job(Path("bad.mp4"), Path("bad.split.mp4")), 0.1, error=error),
    ]


def test_a_summary_says_of_each_video_what_became_of_it_and_what_it_took() -> None:
    console = Console(width=100)
    with console.capture() as said:
        console.print(summary_table(outcomes()))
    heading, talk, bad = said.get().splitlines()
    assert heading.split() == ["video", "result", "length", "took", "speed", "warnings"]
    assert talk.split() == ["talk.mp4", "talk.split.mp4", "1:00", "0:30", "2.0x", "1"]
    assert bad.split()[:5] == ["bad.mp4", "failed:", "not", "a", "video"]


def test_a_line_of_totals_ends_a_batch() -> None:
    assert totals(outcomes(), 40) == "1 of 2 videos done: 1:00 of video in 0:40, 1.5 times real time, 1 warning"
