"""The single steps as commands: probe, track, tiles, render, verify. Each leaves a file that the next one reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dualface_core.cli.exit_codes import EXIT_FAILED
from dualface_core.cli.inputs import (
    CodecOption,
    EncoderOption,
    JsonOption,
    LayoutOption,
    PersonOption,
    PresetOption,
    QualityOption,
    SalvageOption,
    ScenesOption,
    TransitionOption,
    Video,
    check_mp4,
)
from dualface_core.errors import MissingInputError
from dualface_core.system.atomic_files import atomic_write


def probe(video: Video, salvage: SalvageOption = None, as_json: JsonOption = False) -> None:
    """Say what a file is: streams, exact timing, rotation, color, audio; or why it cannot be used."""
    from rich.console import Console

    from dualface_core import pipeline
    from dualface_core.advice.advisories import source_advisory, warnings
    from dualface_core.cli.show import info_json, info_table, warn
    from dualface_core.settings import Settings

    info = pipeline.probe(video, settings=Settings.load().overlaid(salvage=salvage))
    text = info_json(info)
    if as_json:
        typer.echo(text)
    else:
        Console().print(info_table(json.loads(text)))
    warn(video, warnings([source_advisory(info.notes)]))


def track(
    video: Video,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="(default: NAME.tracks.parquet)")] = None,
    person_a: PersonOption = None,
    salvage: SalvageOption = None,
) -> None:
    """Find out who is where in every frame, and write it as a Parquet table."""
    from dualface_core import pipeline
    from dualface_core.advice.advisories import identity_advisory, source_advisory, warnings
    from dualface_core.cli.show import say, step_bar, warn
    from dualface_core.settings import Settings

    settings = Settings.load().overlaid(person_a=person_a, salvage=salvage)
    info = pipeline.probe(video, settings=settings)
    with step_bar("track", video) as progress, pipeline.worker_processes(settings) as workers:
        tracks = pipeline.track(info, settings=settings, workers=workers, progress=progress)
    target = output or video.with_suffix(".tracks.parquet")
    tracks.write(target)
    warn(video, warnings([source_advisory([*info.notes, *tracks.metadata.notes]), identity_advisory(tracks)]))
    say(target)


def tiles(
    video: Video,
    tracks: Annotated[Path | None, typer.Option("--tracks", help="(default: NAME.tracks.parquet)")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="(default: NAME.tiles.parquet)")] = None,
    layout: LayoutOption = None,
    scenes: ScenesOption = None,
    transition: TransitionOption = None,
    salvage: SalvageOption = None,
) -> None:
    """Decide what each tile shows in every frame: a Parquet table, and a contact sheet (JPEG) beside it."""
    from dualface_core import pipeline
    from dualface_core.advice.advisories import enlargement_advisory, framing_advisory, warnings
    from dualface_core.cli.show import note, say, warn
    from dualface_core.settings import Settings
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.scenes import summary

    settings = Settings.load().overlaid(layout=layout, scenes=scenes, transition=transition, salvage=salvage)
    info = pipeline.probe(video, settings=settings)
    table = FaceTracks.read(tracks or video.with_suffix(".tracks.parquet"))
    plan = pipeline.plan_tiles(info, table, settings=settings)
    target = output or video.with_suffix(".tiles.parquet")
    plan.write(target)
    sheet = target.with_suffix(".jpg")
    with atomic_write(sheet) as temporary:
        temporary.write_bytes(pipeline.preview(info, table, plan).contact_sheet)
    note(video, summary(plan.timed_scenes))
    warn(video, warnings([framing_advisory(table, plan), enlargement_advisory(plan)]))
    say(target, sheet)


def render(
    video: Video,
    plan: Annotated[Path | None, typer.Option("--plan", help="(default: NAME.tiles.parquet)")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="(default: NAME.split.mp4)")] = None,
    encoder: EncoderOption = None,
    codec: CodecOption = None,
    quality: QualityOption = None,
    preset: PresetOption = None,
    salvage: SalvageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Render a plan into an MP4. It is complete but not yet verified: `dualface verify` does that."""
    from dualface_core import pipeline
    from dualface_core.advice.advisories import encoder_advisory, warnings
    from dualface_core.cli.show import say, step_bar, warn
    from dualface_core.settings import Settings
    from dualface_core.tables.tile_plan import TilePlan

    settings = Settings.load().overlaid(encoder=encoder, codec=codec, quality=quality, preset=preset, salvage=salvage)
    target = output or video.with_suffix(".split.mp4")
    check_mp4(target)
    info = pipeline.probe(video, settings=settings)
    table = TilePlan.read(plan or video.with_suffix(".tiles.parquet"))
    with step_bar("render", video) as progress, pipeline.worker_processes(settings) as workers:
        report = pipeline.render(info, table, target, settings=settings, workers=workers, progress=progress)
    warn(video, warnings([encoder_advisory(used=report.encoder_used, why=report.why, fallback=report.fallback)]))
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        say(target)


def verify(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The MP4 to check.")],
    video: Annotated[Path, typer.Option("--video", help="The source that it was made from.")],
    tracks: Annotated[
        Path | None, typer.Option("--tracks", help="(default: NAME.tracks.parquet of the source)")
    ] = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="(default: NAME.tiles.parquet of the source)")] = None,
    salvage: SalvageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decode a result from the first frame to the last and compare it with its plan."""
    from rich.console import Console

    from dualface_core import pipeline
    from dualface_core.cli.show import findings_table, step_bar
    from dualface_core.settings import Settings
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.tile_plan import TilePlan

    if not result.exists():
        raise MissingInputError(result, "there is no such file", action="Check the name and the folder.")
    settings = Settings.load().overlaid(salvage=salvage)
    info = pipeline.probe(video, settings=settings)
    face_tracks = FaceTracks.read(tracks or video.with_suffix(".tracks.parquet"))
    tile_plan = TilePlan.read(plan or video.with_suffix(".tiles.parquet"))
    with step_bar("verify", result) as progress, pipeline.worker_processes(settings) as workers:
        verification = pipeline.verify(
            result,
            video=info,
            tracks=face_tracks,
            plan=tile_plan,
            settings=settings,
            workers=workers,
            progress=progress,
        )
    if as_json:
        typer.echo(verification.model_dump_json(indent=2))
    else:
        Console().print(findings_table(verification))
    if not verification.passed:
        raise typer.Exit(EXIT_FAILED)
