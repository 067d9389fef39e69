"""The pages of `docs/runbook`: their commands, typed as they are written, on servers and workers of this test's own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local import servers
from deploy.local.hosts import CONFIGURATION
from tests.end_to_end.running_instance import PATIENCE, REPOSITORY
from tests.plain_image import see_packages_of_the_tests

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(1800)]

PAGES = REPOSITORY / "docs" / "runbook"


@dataclass
class Operator:
    """Somebody who types what a page says.

    Args:
        environment: variables of a host of dualface.
    """

    environment: dict[str, str]

    def follow(self, page: str, **variables: str) -> str:
        """Type all commands of a page, in one shell. Gives what is to be seen; one that fails is an AssertionError.

        But for the doctor's, to whom a daemon is missing here.
        """
        blocks = re.findall(r"```console\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
        commands = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
        assert commands
        assert all(line.startswith("$ ") for line in commands)
        script = []
        for line in commands:
            command = line.removeprefix("$ ")
            otherwise = "true" if command == "dualface doctor" else "exit 1"
            script.append(f"echo {shlex.quote(line)}; {command} || {otherwise}")
        typed = self.type("\n".join(["set -o pipefail", *script]), **variables)
        assert typed.returncode == 0, f"{page}: {typed.stdout[-3000:]}"
        return typed.stdout

    def type(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the shell. Its errors are part of what is to be seen."""
        environment = {**self.environment, **variables}
        seen = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(["bash", "-c", command], env=environment, cwd=REPOSITORY, text=True, check=False, **seen)


@pytest.fixture
def operator() -> Iterator[Operator]:
    """An operator of an instance on SQLite with one run. There are a database, a broker and a bucket for it, too."""
    missing = [program for program in ("psql", "rclone", "redis-cli", "openssl") if shutil.which(program) is None]
    if reason := servers.why_unavailable("postgres", "redis", "s3", "fleet") or missing:
        pytest.skip(f"not installed: {reason}")
    with tempfile.TemporaryDirectory(prefix="dualface-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with servers.postgres(folder / "p") as (_, database), servers.redis(folder / "r") as (_, broker):
            subprocess.run(["redis-cli", "-u", broker, "CONFIG", "SET", "requirepass", "first"], check=True)
            with servers.s3(folder / "s") as (_, port):
                endpoint = f"http://127.0.0.1:{port}"
                httpx.put(f"{endpoint}/videos").raise_for_status()
                own = {
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                    "PYTHONPATH": str(REPOSITORY),
                    "DAGSTER_HOME": str(folder / "home"),
                    "DUALFACE_POSTGRES": database,
                    "DUALFACE_BROKER": broker.replace("://", "://:first@"),
                    "DUALFACE_STORE": "s3://videos/store",
                    "DUALFACE_INBOX": str(folder / "inbox"),
                    "DUALFACE_WORK": str(folder / "work"),
                    "DUALFACE_RUNTIME": str(folder / "runtime"),
                    "AWS_ENDPOINT_URL": endpoint,
                    "AWS_ACCESS_KEY_ID": "somebody",
                    "AWS_SECRET_ACCESS_KEY": "something",
                    "AWS_DEFAULT_REGION": "us-east-1",
                }
                others = {
                    name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DUALFACE_"))
                }
                video = folder / "no-video.mp4"
                video.write_text("not a video")
                operator = Operator({**others, **own})
                operator.type(f"python -m dualface_assets.service.demo {video}")
                yield operator


def test_the_runbook_does_what_it_says(operator: Operator, tmp_path: Path, sample_clip: Callable[..., Path]) -> None:
    home = Path(operator.environment["DAGSTER_HOME"])
    (run,) = re.findall(r"^Run: (\S+)", operator.type("dagster run list").stdout, re.MULTILINE)

    assert run in operator.follow("move-to-postgresql")
    (home / "dagster.yaml").write_text(CONFIGURATION.read_text())

    assert '"nvenc": 0 / 6 slots occupied' in operator.follow("add-a-host")
    worker = psutil.Process(int((home / "worker.pid").read_text()))

    assert "- empty -" in operator.follow("drain-a-host")
    _, alive = psutil.wait_procs([worker], timeout=PATIENCE)
    assert not alive

    assert "FAILURE" in operator.follow("lose-a-host")

    see_packages_of_the_tests(tmp_path / "0.2.0")
    assert f"{tmp_path}/0.2.0\n" in operator.follow("upgrade", RELEASES=str(tmp_path))

    restored = operator.follow("back-up-and-restore", BACKUP=str(tmp_path / "backup"))
    assert restored.count(run) == 1
    assert "0 differences found" in restored
    assert "s3://restored/store answers: 1 videos" in " ".join(restored.split())

    passwords = tmp_path / "passwords"
    passwords.write_text("ann:old\nben:his\n")
    operator.follow("rotate-secrets", PASSWORDS=str(passwords))
    assert re.fullmatch(r"ann:\$6\$\S+\nben:his\n", passwords.read_text())
    assert "PONG" not in operator.type("redis-cli -u ${DUALFACE_BROKER/:first/default:first} PING").stdout
    as_successor = (
        operator.environment["DUALFACE_POSTGRES"].replace("+psycopg2", "").replace("dualface@", "dualface_b@")
    )
    asked = operator.type(f"psql '{as_successor}' --tuples-only --command 'SELECT current_user FROM runs'").stdout
    assert asked.split() == ["dualface"]
