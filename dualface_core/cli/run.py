"""`dualface run`: several videos at once, each as a thread gets free; a failure of one stops none of the others."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.progress import Progress

from dualface_core import pipeline
from dualface_core.cli.exit_codes import exit_code
from dualface_core.cli.inputs import (
    CodecOption,
    EncoderOption,
    Job,
    JsonOption,
    LayoutOption,
    Paths,
    PresetOption,
    QualityOption,
    SalvageOption,
    expand,
    jobs_for,
)
from dualface_core.cli.show import (
    BatchBar,
    Outcome,
    VideoBar,
    errors,
    progress_bars,
    say,
    say_skipped,
    summary_table,
    totals,
    warn,
)
from dualface_core.errors import DualfaceError
from dualface_core.settings import Settings


def run(
    context: typer.Context,
    paths: Paths,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder, or for one video an MP4. (default: beside the input)"),
    ] = None,
    layout: LayoutOption = None,
    encoder: EncoderOption = None,
    codec: CodecOption = None,
    quality: QualityOption = None,
    preset: PresetOption = None,
    salvage: SalvageOption = None,
    streams: Annotated[
        int | None,
        typer.Option("--streams", "-j", min=1, help="Videos in work at once. (default: what suits this machine)"),
    ] = None,
    monitor: Annotated[
        bool,
        typer.Option("--monitor", help="Write the load of host and GPU beside each output, as a table and a chart."),
    ] = False,
    review: Annotated[
        bool, typer.Option("--review", help="Write a page beside each output on which source and result play in step.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a verified split-screen video of each input.

    The result is NAME.split.mp4 beside the input, with NAME.split.report.json. It appears only when it has been decoded
    again and found right; an older one of that name is replaced.
    """
    settings = Settings.load().overlaid(
        layout=layout,
        encoder=encoder,
        codec=codec,
        quality=quality,
        preset=preset,
        salvage=salvage,
        streams=streams,
    )
    inputs = expand(paths)
    jobs = jobs_for(inputs.videos, output)
    started = perf_counter()
    # A video that is alone has the whole machine.
    settings = settings.overlaid(streams=min(len(jobs), pipeline.profile(settings).streams))
    outcomes = _Batch(settings, keep_load=monitor, review=review, debug=bool(context.obj)).run(jobs)
    if len(jobs) > 1:
        errors.print(summary_table(outcomes))
        errors.print(totals(outcomes, perf_counter() - started), highlight=False)
    say_skipped(inputs)
    if as_json:
        typer.echo(json.dumps([outcome.as_json() for outcome in outcomes], indent=2, ensure_ascii=False))
    else:
        say(*(outcome.job.output for outcome in outcomes if outcome.report is not None))
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failures:
        raise typer.Exit(min(exit_code(error) for error in failures))


class _Stopped(BaseException):
    """The user wants no more; not an Exception, so that it is not taken for a failure."""


@dataclass(frozen=True)
class _Batch:
    """How several videos are worked on."""

    settings: Settings
    keep_load: bool
    review: bool
    debug: bool

    def run(self, jobs: list[Job]) -> list[Outcome]:
        """Work on them; outcomes are in the order of the jobs."""
        stop = threading.Event()
        with progress_bars() as bars, ThreadPoolExecutor(self.settings.streams) as pool:
            batch = BatchBar(bars, len(jobs))
            pending = [pool.submit(self._work, job, bars, batch, stop) for job in jobs]
            try:
                return [outcome.result() for outcome in pending]
            except BaseException:  # Ctrl-C: nothing new begins, and what is in work ends at its next frame
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _work(self, job: Job, bars: Progress, batch: BatchBar, stop: threading.Event) -> Outcome:
        bar = VideoBar(bars, job.video, batch)

        def progress(step: str, done: int, total: int) -> None:
            if stop.is_set():
                raise _Stopped
            bar(step, done, total)

        started = perf_counter()
        try:
            report = pipeline.process(
                job.video,
                job.output,
                settings=self.settings,
                keep_load=self.keep_load,
                review=self.review,
                progress=progress,
            )
        except DualfaceError as error:
            if self.debug:
                errors.print_exception()
            errors.print(f"dualface: {error}", markup=False, highlight=False, soft_wrap=True)
            return Outcome(job, perf_counter() - started, error=error)
        except Exception:  # noqa: BLE001  a bug keeps its traceback, and the other videos go on
            errors.print_exception()
            bug = DualfaceError(f"{job.video}: a bug in dualface stopped the work. Please report it.")
            return Outcome(job, perf_counter() - started, error=bug)
        finally:
            bar.end()
        warn(job.video, report.warnings)
        return Outcome(job, perf_counter() - started, report=report)
