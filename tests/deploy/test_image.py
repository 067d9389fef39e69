"""What an image holds, made in a plain folder by the commands of the Dockerfile, and run as a user with no rights.

The folder sees the packages that the tests run with: to install them a second time takes minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.permissions import public_folder
from tests.plain_image import see_packages_of_the_tests

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "deploy" / "image" / "Dockerfile"
USER = "10001"


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    with public_folder() as folder:
        environment = folder / "environment"
        see_packages_of_the_tests(environment)
        build = [REPOSITORY / "deploy" / "image" / "build", "package", environment]
        subprocess.run(build, check=True, env={**os.environ, "PYTHON": sys.executable}, cwd=folder)
        writable = folder / "writable"
        writable.mkdir()
        if not os.getuid():
            os.chown(writable, int(USER), int(USER))
        yield folder


def run(image: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a program of the image as its user, who may read what root may, but write to one folder only."""
    writable = image / "writable"
    environment = {
        "PATH": f"{image}/environment/bin:{os.environ['PATH']}",
        "HOME": str(writable),
        "DAGSTER_HOME": str(writable / "dagster_home"),
        "DUALFACE_RUNTIME": str(writable / "runtime"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "COLUMNS": "500",
    }
    search = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    user = [] if os.getuid() else ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *search]
    return subprocess.run(
        [*user, *map(str, command)], cwd=writable, env=environment, capture_output=True, text=True, check=False
    )


def test_a_user_who_may_write_to_the_named_folders_only_makes_a_verified_video(
    image: Path, sample_clip: Callable[..., Path]
) -> None:
    clip = sample_clip("talk", seconds=1, size=(320, 180), fps=15)
    made = run(image, "dualface", "run", clip, "-o", image / "writable" / "out")
    assert made.returncode == 0, made.stderr
    assert [path.name for path in (image / "writable" / "out").glob("*.mp4")] == [f"{clip.stem}.split.mp4"]


def test_the_image_holds_this_release_and_its_models(image: Path) -> None:
    prepare = "from dualface_assets.service import instance_home as our; our.prepared_home(); print(our.__file__)"
    assert run(image, "python", "-c", prepare).stdout.startswith(f"{image}/environment/")
    assert version("dualface") in run(image, "dualface", "--version").stdout
    doctor = " ".join(run(image, "dualface", "doctor").stdout.split())
    for found in (
        "model the YuNet face detector",
        "model the SFace face embedder",
        "recovery",
        f"runtime {image}/writable",
    ):
        assert f"good {found}" in doctor


def test_everything_that_an_image_installs_is_pinned() -> None:
    pinned = {canonicalize_name(line.partition("==")[0]) for line in (REPOSITORY / "constraints.txt").open()}
    needed, waiting = set[str](), [Requirement("dualface[hosts]")]
    while waiting:
        requirement = waiting.pop()
        for line in requires(requirement.name) or ():
            found = Requirement(line)
            wanted = not found.marker or any(
                found.marker.evaluate({"extra": extra}) for extra in (*requirement.extras, "")
            )
            key = f"{canonicalize_name(found.name)}{sorted(found.extras)}"
            if wanted and key not in needed:
                needed.add(key)
                waiting.append(found)
    assert len(needed) > 80
    assert {key.partition("[")[0] for key in needed} - pinned == {"dualface"}


def test_what_the_image_is_built_from_passes_by_dockerignore_and_nothing_secret_does() -> None:
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    sources = {name for line in copied for name in line.split()}
    assert sources == allowed
    assert all((REPOSITORY / name).exists() for name in sources)
