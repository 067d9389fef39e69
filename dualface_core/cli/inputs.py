"""What the user gives: videos by path, folder or pattern, where the results go, and values of options.

Belongs here: turning text into values, and refusing what cannot work before any work is done.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final

import typer

from dualface_core.errors import MissingInputError, OutputError, SettingsError
from dualface_core.system.atomic_files import output_error
from dualface_core.system.names import check_text
from dualface_core.tables.labels import SceneMode, Transition

VIDEO_SUFFIXES: Final = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".gxf", ".h264", ".h265", ".hevc", ".ivf",
    ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mkv", ".mod", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf",
    ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
})  # fmt: skip
"""What counts as a video when a folder is given; a file that is named is always tried, and so is an upload."""

_MOST_NAMES: Final = 10
"""Names that a line has room for."""

_OURS: Final = frozenset({".split", ".tracks", ".tiles", ".truth", ".load"})
"""What the names of our own results, tables and reports have before their last suffix."""

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Videos, folders of videos, or glob patterns.")]
Video = Annotated[Path, typer.Argument(metavar="VIDEO", help="The source video.")]
LayoutOption = Annotated[
    str | None,
    typer.Option(
        "--layout",
        "-l",
        metavar="NAME|FILE.yaml",
        help="side-by-side, stacked, square, four-by-five, vertical-solo, picture-in-picture, wide-plus-two, or a file "
        "with another. (default: side-by-side)",
    ),
]
ScenesOption = Annotated[
    SceneMode | None, typer.Option("--scenes", help="Follow what happens, or one split throughout. (default: auto)")
]
TransitionOption = Annotated[
    Transition | None, typer.Option("--transition", help="How tiles change places within a shot. (default: eased)")
]
PersonOption = Annotated[
    Path | None,
    typer.Option(
        "--person-a",
        metavar="FACE.jpg",
        help="An image of the face of who is called A. (default: who is on the left where both are first seen)",
    ),
]
EncoderOption = Annotated[str | None, typer.Option("--encoder", help="auto, nvenc or software. (default: auto)")]
CodecOption = Annotated[str | None, typer.Option("--codec", help="h264, hevc or av1. (default: h264)")]
QualityOption = Annotated[
    int | None, typer.Option("--quality", "-q", help="0 to 51 on x264's CRF scale, smaller is better. (default: 20)")
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="fast, balanced, best, or the encoder's own name, such as veryfast. (default: what suits this machine)",
    ),
]
SalvageOption = Annotated[
    bool | None,
    typer.Option(
        "--salvage/--no-salvage",
        help="Of a damaged video, take what can be decoded, and hold the last good frame over what is lost.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")]


@dataclass(frozen=True)
class Job:
    """A video, and the file that its result goes to."""

    video: Path
    output: Path


@dataclass(frozen=True)
class Inputs:
    """What the user's paths stand for.

    Attributes:
        videos: each once, in the order given.
        skipped: for each folder or pattern the names in it that are left out: files that are no videos by their names,
            and folders, which are not searched.
    """

    videos: list[Path]
    skipped: dict[Path, list[str]]

    def skipped_lines(self) -> list[str]:
        """What is left out, a line for each folder or pattern."""
        return [
            f"{path}: {len(names)} left out, no {'video' if len(names) == 1 else 'videos'} by name: {_listed(names)}"
            for path, names in self.skipped.items()
        ]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else "")


def expand(paths: list[str]) -> Inputs:
    """The videos that paths, folders and glob patterns name.

    A folder stands for the videos in it, in name order, without results of ours.

    Raises MissingInputError for a path that isn't there and for a folder or pattern without videos, and InputError for
    a video whose name is no text.
    """
    found: dict[Path, None] = {}
    skipped: dict[Path, list[str]] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside, skipped[path] = _videos_among(sorted(path.iterdir()))
            if not inside:
                raise MissingInputError(path, "no video in this folder", action="Name a folder with videos, or a file.")
            found.update(dict.fromkeys(inside))
        elif path.exists() or not any(character in text for character in "*?["):
            if not path.exists():
                raise MissingInputError(path, "there is no such file", action="Check the name and the folder.")
            found[path] = None
        else:
            anchor = Path(path.anchor or ".")
            matches, skipped[path] = _videos_among(_matching(anchor, str(path.relative_to(path.anchor))))
            if not matches:
                raise MissingInputError(path, "no video matches this pattern", action="Check the pattern.")
            found.update(dict.fromkeys(matches))
    for video in found:
        check_text(video)
    return Inputs(list(found), {path: names for path, names in skipped.items() if names})


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except ValueError:  # "**" beside other characters
        return []


def _videos_among(entries: list[Path]) -> tuple[list[Path], list[str]]:
    """The videos by name, and the names of all else that is neither hidden nor ours."""
    videos, others = [], []
    for entry in entries:
        if entry.name.startswith(".") or _OURS & {suffix.lower() for suffix in entry.suffixes[:-1]}:
            continue
        if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file():
            videos.append(entry)
        else:
            others.append(f"{entry.name}/" if entry.is_dir() else entry.name)
    return videos, others


def jobs_for(videos: list[Path], output: Path | None) -> list[Job]:
    """Where the result of each video goes: beside it, into the folder `output`, or for one video into that MP4.

    A folder that is not there yet is made. Raises OutputError where nothing can be written, where a result would take
    the place of an input or of another result, and for a file of any other kind.
    """
    folder = output is not None and (output.is_dir() or not output.suffix)
    if output is not None and not folder:
        check_mp4(output)
        if len(videos) > 1:
            raise OutputError(output, f"{len(videos)} videos cannot share one file", action="Give a folder with -o.")
    names = [video.with_name(f"{video.stem}.split.mp4") for video in videos]
    outputs = names if output is None else [output / name.name if folder else output for name in names]
    jobs = [Job(video, result) for video, result in zip(videos, outputs, strict=True)]
    _check_distinct(jobs)
    if output is not None and folder:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(output, error) from error
    for job in jobs:
        if not os.access(job.output.parent, os.W_OK):
            reason = errno.EACCES if job.output.parent.exists() else errno.ENOENT
            raise output_error(job.output, OSError(reason, ""))
    return jobs


def check_mp4(output: Path) -> None:
    """Raise OutputError for a result that would be no MP4."""
    if output.suffix.lower() != ".mp4":
        action = "Give a name that ends in .mp4, or a folder that is there."
        raise OutputError(output, "a result is an MP4", action=action)


def _check_distinct(jobs: list[Job]) -> None:
    """Raise OutputError where a result would take the place of an input, or of another result."""
    inputs = {job.video.resolve() for job in jobs}
    makers: dict[Path, Path] = {}
    for job in jobs:
        target = job.output.resolve()
        if target in inputs:
            raise OutputError(job.output, "this is an input", action="Choose another name with -o.")
        other = makers.setdefault(target, job.video)
        if other is not job.video:
            found = f"both {other} and {job.video} would be written here"
            action = "Run each by itself with another folder after -o, or rename one of them."
            raise OutputError(job.output, found, action=action)


def frame_size(text: str) -> tuple[int, int]:
    """Width and height in pixels from WIDTHxHEIGHT. Raises SettingsError."""
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if match is None or any(int(number) % 2 for number in match.groups()):
        raise SettingsError(f"--size: found {text!r}. Give WIDTHxHEIGHT, both even, such as 1920x1080.")
    return int(match[1]), int(match[2])


def frame_rate(text: str) -> Fraction:
    """Frames per second from a number or a fraction. Raises SettingsError."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 1 <= rate <= 240:
        raise SettingsError(f"--fps: found {text!r}. Give frames per second from 1 to 240, such as 30 or 30000/1001.")
    return rate
