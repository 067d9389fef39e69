"""A Dagster instance with our configuration, and the programs that people start on one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

REPOSITORY = Path(__file__).parents[1]


@contextmanager
def own_instance(home: Path, **changes: Mapping[str, Any]) -> Iterator[dg.DagsterInstance]:
    """An instance in the folder `home`, made if it is not there, with other values in some parts of its settings."""
    settings = yaml.safe_load((REPOSITORY / "dagster_home" / "dagster.yaml").read_text())
    settings |= {part: {**settings.get(part, {}), **values} for part, values in changes.items()}
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def start(program: str, home: Path | str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a program of `dualface_assets.service` to its end."""
    environment = {**os.environ, "DAGSTER_HOME": str(home), **{name: str(text) for name, text in variables.items()}}
    command = [sys.executable, "-m", f"dualface_assets.service.{program}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
