"""How an input is made: a recipe is data, and what it makes is kept in a folder named by its content.

Belongs here: the words in which recipes are written, and carrying them out with the ffmpeg program. Which recipes there
are is `recipes`' business, what is true of a file `oracle`'s.
"""

from __future__ import annotations

import hashlib
import random
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import filelock
import numpy as np
import pytest

from dualface_core.errors import DualfaceError
from dualface_core.sample import make_sample
from dualface_core.settings import Settings
from tests.core.media.made_fields import field_pictures, write_field_pictures

BASE_FRAMES: Final = 30
BASE_RATE: Final = 25
BASE_SECONDS: Final = BASE_FRAMES / BASE_RATE
_SIZE: Final = (320, 180)
_TONES: Final = (
    "0.4*sin(2*PI*(300+500*t)*t)*(0.6+0.4*sin(2*PI*5*t))|0.4*sin(2*PI*(450+350*t)*t)*(0.6+0.4*sin(2*PI*3*t))"
)
"""Left and right, which never repeat: what is early, late or missing cannot pass for the rest."""

_FOLDER: Final = Path(__file__).parent / "made"


@dataclass(frozen=True)
class Join:
    """Files one after the other, byte by byte."""

    parts: tuple[str, ...]
    into: str

    def __call__(self, folder: Path) -> None:
        (folder / self.into).write_bytes(b"".join((folder / part).read_bytes() for part in self.parts))


@dataclass(frozen=True)
class Cut:
    """The part of a file that ends at a share of its bytes, and begins at another."""

    name: str
    share: float
    begin: float = 0.0

    def __call__(self, folder: Path) -> None:
        content = (folder / self.name).read_bytes()
        (folder / self.name).write_bytes(content[int(len(content) * self.begin) : int(len(content) * self.share)])


@dataclass(frozen=True)
class Swap:
    """Bytes of a file in place of others; `times` is how often they must be there, 0 for at least once."""

    name: str
    old: bytes
    new: bytes
    times: int = 0

    def __call__(self, folder: Path) -> None:
        content = (folder / self.name).read_bytes()
        found = content.count(self.old)
        assert found if not self.times else found == self.times, f"{self.old!r} is there {found} times"
        (folder / self.name).write_bytes(content.replace(self.old, self.new))


@dataclass(frozen=True)
class Flip:
    """Other values for some bytes between two shares of a file."""

    name: str
    count: int
    first: float
    last: float

    def __call__(self, folder: Path) -> None:
        content = bytearray((folder / self.name).read_bytes())
        chance = random.Random(self.name)
        for _ in range(self.count):
            place = int(len(content) * chance.uniform(self.first, self.last))
            content[place] ^= chance.randrange(1, 256)
        (folder / self.name).write_bytes(content)


@dataclass(frozen=True)
class Zero:
    """Zeros between two shares of a file, as a disk or a download leaves them."""

    name: str
    first: float
    last: float

    def __call__(self, folder: Path) -> None:
        content = bytearray((folder / self.name).read_bytes())
        first, last = (int(len(content) * share) for share in (self.first, self.last))
        content[first:last] = bytes(last - first)
        (folder / self.name).write_bytes(content)


@dataclass(frozen=True)
class Overwrite:
    """Other bytes at a place."""

    name: str
    place: int
    content: bytes

    def __call__(self, folder: Path) -> None:
        with (folder / self.name).open("r+b") as file:
            file.seek(self.place)
            file.write(self.content)


@dataclass(frozen=True)
class Write:
    """A file that holds this."""

    name: str
    content: bytes

    def __call__(self, folder: Path) -> None:
        (folder / self.name).write_bytes(self.content)


@dataclass(frozen=True)
class FieldPictures:
    """H.264 of raw frames (4:2:0) of the clip's size and rate, each field coded as a picture of its own."""

    raw: str
    into: str

    def __call__(self, folder: Path) -> None:
        width, height = _SIZE
        frames = np.fromfile(folder / self.raw, np.uint8).reshape(-1, width * height * 3 // 2)
        halves = (height // 2, width // 2)
        planes = (
            (frame[: width * height].reshape(height, width), u.reshape(halves), v.reshape(halves))
            for frame in frames
            for u, v in [np.split(frame[width * height :], 2)]
        )
        write_field_pictures(folder / self.into, list(field_pictures(planes, BASE_RATE)), rate=BASE_RATE)


Step: TypeAlias = str | Callable[[Path], None]
"""What ffmpeg is asked for, or what is done to its files."""


@dataclass(frozen=True)
class Verified:
    """The input becomes a verified result that agrees with what ffprobe says of the input, but for what is named here.

    Attributes:
        times: presentation times of the frames in seconds, where ffprobe does not know them.
        lasts: seconds from the first frame to the end of the last, where ffprobe does not say so.
        audio: tracks of the result; as many as the input has if None.
        audio_start: seconds from the first frame to the beginning of the audio, where ffprobe is wrong about it.
        says: what the advisory about the source says, each a pattern; empty for whatever it says.
        quiet: whether nothing of the source is changed, so that nothing of it is said.
        view: ffmpeg's filter that shows a frame upright and mirrored as a player does; ffmpeg turns it itself if None.
        looks: indexes of frames that must look like the input's.
        matrix, range: how its colors are to be taken, where players go by other rules than those of `oracle`.
        converted: whether its colors are those of HDR or BT.2020, and the result has the likest of BT.709.
        title: of the file, where ffprobe does not find it.
        silent: whether there is nothing to be heard.
        joined: whether audio was joined of two files, of which ffmpeg places only the first as a player does.
        salvage: whether damage is repaired as far as it goes, which is a setting.
    """

    times: tuple[float, ...] | None = None
    lasts: float | None = None
    audio: int | None = None
    audio_start: float | None = None
    says: tuple[str, ...] = ()
    quiet: bool = False
    view: str | None = None
    looks: tuple[int, ...] = (0, BASE_FRAMES // 2, -1)
    matrix: str | None = None
    range: str | None = None
    converted: bool = False
    title: str | None = None
    silent: bool = False
    joined: bool = False
    salvage: bool = False


@dataclass(frozen=True)
class Refused:
    """The input is refused with this very class of error, whose sentence has this pattern; nothing is left behind."""

    error: type[DualfaceError]
    says: str


@dataclass(frozen=True)
class Recipe:
    """An input.

    Attributes:
        name: of the file that is made.
        made: steps; one that names no input takes `base.mov` for it, and `name` for its output.
        expected: what must become of it.
        quick: whether it belongs to the small part that every run of the tests has.
    """

    name: str
    made: str | tuple[Step, ...]
    expected: Verified | Refused
    quick: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in full."""
        steps = (self.made,) if isinstance(self.made, str) else self.made
        return tuple(self._full(step) if isinstance(step, str) else step for step in steps)

    def _full(self, step: str) -> str:
        return step if " -i " in f" {step}" else f"-i base.mov {step} {self.name}"

    def make(self) -> Path:
        """The file, made now or before."""
        return _made(self.name, self.steps, base())


@cache
def base() -> Path:
    """The clip that inputs are made from: two people at 320x180, 30 frames at 25 a second, and two tones as PCM."""
    tones = f"-f lavfi -i aevalsrc={shlex.quote(_TONES)}:c=stereo:s=48000:d={BASE_SECONDS}"
    return _made("base.mov", (_film, f"-i talk.mp4 {tones} -map 0:v -map 1:a -c:v copy -c:a pcm_s16le base.mov"), None)


def _film(folder: Path) -> None:
    film = {"scene": "talk", "seconds": BASE_SECONDS, "fps": BASE_RATE, "seed": 0}
    make_sample(folder / "talk.mp4", width=_SIZE[0], height=_SIZE[1], cache=Settings().cache, **film)


@cache
def ffmpeg_version() -> str:
    """What the ffmpeg program says of itself; the test is skipped where there is none."""
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("needs the programs ffmpeg and ffprobe")
    return subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _made(name: str, steps: tuple[Step, ...], source: Path | None) -> Path:
    named = [step.__name__ if step is _film else repr(step) for step in steps]
    origin = source.parent.name if source else f"{_SIZE}"
    key = hashlib.sha256("\n".join([ffmpeg_version(), origin, name, *named]).encode()).hexdigest()[:16]
    target = _FOLDER / key / name
    _FOLDER.mkdir(exist_ok=True)
    with filelock.FileLock(_FOLDER / f"{key}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
                _carry_out(steps, Path(folder), source)
                target.parent.mkdir(exist_ok=True)
                (Path(folder) / name).rename(target)
    return target


def _carry_out(steps: tuple[Step, ...], folder: Path, source: Path | None) -> None:
    if source is not None:
        (folder / source.name).hardlink_to(source)
    for step in steps:
        if not isinstance(step, str):
            step(folder)
            continue
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *shlex.split(step)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode and ("Unknown encoder" in done.stderr or "Unable to find a suitable" in done.stderr):
            pytest.skip(f"this ffmpeg cannot make it: {done.stderr.strip()}")
        assert not done.returncode, f"{shlex.join(command)}: {done.stderr}"
