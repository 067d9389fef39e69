"""`dualface run`: what it takes, and what it says when all is done. The work itself is in `batch`."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from dualface_core.cli.exit_codes import exit_code
from dualface_core.cli.inputs import (
    CodecOption,
    EncoderOption,
    JsonOption,
    LayoutOption,
    Paths,
    PersonOption,
    PresetOption,
    QualityOption,
    SalvageOption,
    ScenesOption,
    TransitionOption,
    expand,
    jobs_for,
)
from dualface_core.cli.video_processes import VideoProcesses


def run(
    context: typer.Context,
    paths: Paths,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder, or for one video an MP4. (default: beside the input)"),
    ] = None,
    layout: LayoutOption = None,
    scenes: ScenesOption = None,
    transition: TransitionOption = None,
    person_a: PersonOption = None,
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
    from dualface_core import pipeline
    from dualface_core.settings import Settings

    settings = Settings.load().overlaid(
        layout=layout,
        scenes=scenes,
        transition=transition,
        person_a=person_a,
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
    at_once = min(len(jobs), pipeline.profile(settings).streams)
    settings = settings.overlaid(streams=at_once)
    with pipeline.worker_processes(settings) as workers, VideoProcesses() as processes:
        pipeline.prepare_card(workers, [job.video for job in jobs])
        if len(jobs) == 1:
            pipeline.prepare(workers, jobs[0].video)
        else:
            processes.begin(at_once)
        from dualface_core.cli.batch import Batch
        from dualface_core.cli.show import errors, say, say_skipped, summary_table, totals
        from dualface_core.engine.stages import time_line

        batch = Batch(settings, workers, processes, keep_load=monitor, review=review, debug=bool(context.obj))
        outcomes = batch.run(jobs)
    if len(jobs) > 1:
        errors.print(summary_table(outcomes))
        errors.print(totals(outcomes, perf_counter() - started), highlight=False)
    if line := time_line(stage for outcome in outcomes if outcome.report for stage in outcome.report.stages):
        errors.print(f"where the time went: {line}", highlight=False, soft_wrap=True)
    say_skipped(inputs)
    if as_json:
        typer.echo(json.dumps([outcome.as_json() for outcome in outcomes], indent=2, ensure_ascii=False))
    else:
        say(*(outcome.job.output for outcome in outcomes if outcome.report is not None))
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failures:
        raise typer.Exit(min(exit_code(error) for error in failures))
