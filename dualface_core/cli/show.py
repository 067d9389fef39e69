"""What the user sees: tables, progress bars, warnings and paths.

Belongs here: everything that is printed. People read standard error; standard output holds results only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from dualface_core.cli.inputs import Inputs, Job
from dualface_core.errors import DualfaceError, one_line

if TYPE_CHECKING:
    from dualface_core.gpu.overview import CardOverview, GpuOverview
    from dualface_core.media.probe import VideoInfo
    from dualface_core.rendering.report import EncodeReport
    from dualface_core.verification.findings import Verification

errors = Console(stderr=True)

STEP_SHARES: Final = {"track": 0.25, "render": 0.45, "verify": 0.3}
"""Shares of the time that a video takes, of 8 s of 1920x1080 on two cores with software encode."""


@dataclass(frozen=True)
class Outcome:
    """What became of one video: a report, or the error that stopped it; and the seconds that it took."""

    job: Job
    seconds: float
    report: EncodeReport | None = None
    error: DualfaceError | None = None

    def as_json(self) -> dict[str, Any]:
        """The same for programs; the error is a sentence."""
        return {
            "input": str(self.job.video),
            "output": None if self.report is None else str(self.job.output),
            "error": None if self.error is None else str(self.error),
            "seconds": round(self.seconds, 3),
            "report": None if self.report is None else self.report.model_dump(mode="json"),
        }


def say(*paths: Path) -> None:
    """Print paths, one a line: as they are for a program that reads them, and harmlessly for a terminal."""
    for path in paths:
        typer.echo(one_line(str(path)) if sys.stdout.isatty() else str(path).encode())


def warn(path: Path, warnings: Iterable[str]) -> None:
    """Say what a person should know of a video although nothing failed, a line for each."""
    for message in warnings:
        errors.print(one_line(f"{path}: warning: {message}"), markup=False, highlight=False, soft_wrap=True)


def note(path: Path, line: str) -> None:
    """Say something of a video that is no warning."""
    errors.print(one_line(f"{path}: {line}"), markup=False, highlight=False, soft_wrap=True)


def say_skipped(inputs: Inputs) -> None:
    """Say what of the folders given is left out, a line for each."""
    for line in inputs.skipped_lines():
        errors.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def info_json(info: VideoInfo) -> str:
    """What a file is, as JSON."""
    return TypeAdapter(type(info)).dump_json(info, indent=2).decode()


def info_table(values: dict[str, Any]) -> Table:
    """What a file is, a line for each property."""
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        table.add_row(f"[bold]{name}[/]", escape(one_line(str(value))))
    return table


def findings_table(verification: Verification) -> Table:
    """What a verification found, a line for each check."""
    table = Table("", "check", "found", "expected", box=None)
    for finding in verification.findings:
        failed = "[red]FAILED[/]" if finding.severity == "error" else "[yellow]look[/]"
        mark = "[green]ok[/]" if finding.passed else failed
        table.add_row(mark, escape(finding.check), escape(str(finding.value)), escape(finding.expected))
    return table


def summary_table(outcomes: Sequence[Outcome]) -> Table:
    """What became of each video of a batch, and what it took."""
    table = Table("video", "result", "length", "took", "speed", "warnings", box=None)
    for outcome in outcomes:
        report, name = outcome.report, escape(one_line(outcome.job.video.name))
        if report is None:
            reason = getattr(outcome.error, "found", str(outcome.error))
            table.add_row(name, f"[red]failed[/]: {escape(one_line(reason))}", "", clock(outcome.seconds), "", "")
            continue
        output = escape(one_line(outcome.job.output.name))
        took, speed = clock(outcome.seconds), f"{report.duration / outcome.seconds:.1f}x"
        table.add_row(name, output, clock(report.duration), took, speed, str(len(report.warnings)))
    return table


def totals(outcomes: Sequence[Outcome], seconds: float) -> str:
    """One line about a batch that took so many seconds."""
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    length, warnings = sum(report.duration for report in reports), sum(len(report.warnings) for report in reports)
    return (
        f"{len(reports)} of {len(outcomes)} videos done: {clock(length)} of video in {clock(seconds)}, "
        f"{length / seconds:.1f} times real time, {warnings} {'warning' if warnings == 1 else 'warnings'}"
    )


def clock(seconds: float) -> str:
    """A length of time in whole seconds, such as 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def overview_table(overview: GpuOverview) -> Table:
    """What the GPU can do, who uses its sessions, and what suits this machine."""
    table = Table(show_header=False, box=None)
    for card in overview.cards:
        for name, text in _card_lines(card, overview):
            table.add_row(f"[bold]{name}[/]", escape(text))
    profile = overview.profile
    table.add_row(
        "[bold]profile[/]",
        f"NVENC sessions {profile.sessions}, cores {profile.cores}, videos at once {profile.streams}, threads for each "
        f"to decode {profile.decode_threads}, to compose {profile.compose_threads} and to encode "
        f"{profile.encode_threads}, preset {escape(profile.preset)}",
    )
    return table


def _card_lines(card: CardOverview, overview: GpuOverview) -> Iterator[tuple[str, str]]:
    if card.gpu is None:
        yield "card", f"none: {overview.problem}"
    else:
        memory = "memory unknown" if card.gpu.memory_total is None else f"{card.gpu.memory_total / 2**30:.1f} GiB"
        yield "card", f"{card.gpu.index}: {card.gpu.name}, {card.generation or 'generation unknown'}, {memory}"
        yield "", f"{card.gpu.uuid}, driver {card.gpu.driver}"
    for name, abilities in (("NVENC", card.nvenc), ("NVDEC", card.nvdec)):
        for codec, ability in abilities.items():
            answer = "yes" if ability.available else f"{'busy' if ability.busy else 'no'}. {ability.reason}"
            yield f"{name} {codec}", answer
    status, counters = card.sessions, card.sessions.counters
    yield "sessions", f"{len(status.holders)} of {status.limit} held, {status.waiting} waiting"
    for holder in status.holders:
        yield "", f"slot {holder.slot}: {holder}"
    yield (
        "",
        f"so far {counters.opened} opened, {counters.closed} closed, {counters.abandoned} abandoned, "
        f"{counters.refused} refused, {counters.failed} failed ({counters.error_rate:.1%} errors), "
        f"{counters.timed_out} gave up waiting",
    )
    if card.gpu is not None:
        yield "NVML", f"lists {len(card.listed)} NVENC sessions of all programs"
        for session in card.listed:
            size = f"{session.codec} {session.width}x{session.height}"
            yield "", f"process {session.pid or 'unknown'}: {size}, {session.frames_per_second:.0f} frames a second"


def progress_bars(*, get_time: Callable[[], float] | None = None) -> Progress:
    """Bars on standard error, where it is a terminal. A task has the fields `step` and `count`."""
    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.fields[step]}", style="cyan"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal, get_time=get_time)


class BatchBar:
    """The bar over several videos, shown where there are several; it moves with each of them."""

    def __init__(self, bars: Progress, videos: int) -> None:
        self._bars = bars
        self._videos = videos
        self._done = 0
        self._task = bars.add_task("all videos", step="", count=f"0/{videos}", total=videos, visible=videos > 1)

    def move(self, share: float) -> None:
        """Go on by a share of one video."""
        self._bars.advance(self._task, share)

    def count(self) -> None:
        """One more video is done, or has failed."""
        self._done += 1
        self._bars.update(self._task, count=f"{self._done}/{self._videos}")


class VideoBar:
    """The bar of one video over all of its steps, so that the time that remains counts the steps to come."""

    def __init__(self, bars: Progress, path: Path, batch: BatchBar) -> None:
        self._bars = bars
        self._batch = batch
        self._share = 0.0
        self._task: TaskID = bars.add_task(escape(one_line(path.name)), total=1.0, step="probe", count="")

    def __call__(self, step: str, done: int, total: int) -> None:
        """So many frames of a step are done."""
        steps = list(STEP_SHARES)
        if step in steps:
            before = sum(STEP_SHARES[earlier] for earlier in steps[: steps.index(step)])
            self._move(before + STEP_SHARES[step] * min(1.0, done / max(total, 1)))
        self._bars.update(self._task, step=step, completed=self._share, count=f"{done}/{total}")

    def end(self) -> None:
        """The video is done, or has failed."""
        self._move(1.0)
        self._batch.count()
        self._bars.remove_task(self._task)

    def _move(self, share: float) -> None:
        self._batch.move(share - self._share)
        self._share = share


@contextmanager
def step_bar(step: str, path: Path) -> Iterator[Callable[[int, int], None]]:
    """The bar of a single step: to be called with the frames done and the frames in all."""
    with progress_bars() as bars:
        task = bars.add_task(escape(one_line(path.name)), total=None, step=step, count="")
        yield lambda done, total: bars.update(task, completed=done, total=total, count=f"{done}/{total}")
