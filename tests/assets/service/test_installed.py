"""dualface as a package: a wheel in site-packages, without the checkout around it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which nothing was installed but our wheel."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("dualface_core", "dualface_assets", "dagster_home"):
        (source / name).symlink_to(REPOSITORY / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, folder], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def run(site_packages: Path, folder: Path, module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("DUALFACE_", "DAGSTER_"))}
    environment = {**given, "PYTHONPATH": str(site_packages), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "500"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)


def test_what_is_installed_works_in_the_working_folder_with_retries(site_packages: Path, tmp_path: Path) -> None:
    before = sorted(site_packages.rglob("*"))
    video = tmp_path / "video.mp4"
    video.write_bytes(b"not a video")
    demo = run(site_packages, tmp_path, "dualface_assets.service.demo", video)
    assert demo.returncode == 1, demo.stderr
    assert "not a video" in demo.stdout
    assert [path.name for path in (tmp_path / "data" / "raw_video").iterdir()] == ["video-f8a69ede5e"]
    doctor = run(site_packages, tmp_path, "dualface_assets.service.doctor")
    found = " ".join(doctor.stdout.split())
    for answer in (f"store {tmp_path}/data", f"instance {tmp_path}/dagster_home", "recovery Failed runs are tried"):
        assert f"good {answer}" in found
    assert sorted(site_packages.rglob("*")) == before
