"""`python -m dualface_assets.service.dagster_program NAME ...`: one of Dagster's commands, with less work for itself.

Belongs here: starting `dagster` or `dagster-daemon` in a process that reads Dagster's migrations once; and a daemon
only where no other host has one. The code server's processes for runs begin with this module, too.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

from dualface_assets.runs.dagster_internals import keep_databases_open, read_migrations_once
from dualface_assets.service.instance_home import opened_instance
from dualface_assets.service.only_daemon import REFUSED, become_the_only_daemon
from dualface_core.errors import DualfaceError, SettingsError

if __name__ == "__mp_main__":  # as multiprocessing calls it, in the process of a run
    read_migrations_once()
    keep_databases_open()

if __name__ == "__main__":
    del sys.argv[0]
    (command,) = entry_points(group="console_scripts", name=sys.argv[0])
    read_migrations_once()
    if sys.argv[0] == "dagster-daemon":
        try:
            with opened_instance() as instance:
                become_the_only_daemon(instance)
        except SettingsError as refused:
            print(refused, file=sys.stderr)
            sys.exit(REFUSED)
        except DualfaceError as error:
            print(error, file=sys.stderr)
            sys.exit(1)
    sys.exit(command.load()())
