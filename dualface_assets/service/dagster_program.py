"""`python -m dualface_assets.service.dagster_program NAME ...`: one of Dagster's commands, with less work for itself.

Belongs here: starting `dagster` or `dagster-daemon` in a process that reads Dagster's migrations once.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

from dualface_assets.runs.dagster_internals import read_migrations_once

if __name__ == "__main__":
    del sys.argv[0]
    (command,) = entry_points(group="console_scripts", name=sys.argv[0])
    read_migrations_once()
    sys.exit(command.load()())
