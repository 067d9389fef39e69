"""DAGSTER_HOME: the folder of the instance, which holds its configuration and its databases.

Belongs here: where it is, and that our configuration is in it, without which Dagster (1.13) neither tries again what
failed nor limits a pool. See https://docs.dagster.io/deployment/oss/dagster-yaml.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import dagster as dg

from dualface_assets.settings import workspace
from dualface_core.errors import MachineError, SettingsError
from dualface_core.system.atomic_files import atomic_write

CONFIGURATION: Final = Path(__file__).with_name("dagster.yaml")
"""Ours, which comes with the package; in a checkout a link to `dagster_home/dagster.yaml`."""


def instance_home() -> Path:
    """DAGSTER_HOME; where it is not set, it is set to `dagster_home` in the workspace. Raises SettingsError."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(workspace() / "dagster_home")))
    if not home.is_absolute() or (home.exists() and not home.is_dir()):
        raise SettingsError(f"DAGSTER_HOME is {str(home)!r}; expected the full name of a folder.")
    return home


def opened_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, which is to be closed. Raises MachineError where its database does not answer."""
    try:
        return dg.DagsterInstance.get()
    except dg.DagsterError:  # as for a wrong dagster.yaml, of which Dagster says what is wrong
        raise
    except Exception as error:  # noqa: BLE001  each kind of storage has errors of its own, and some quote a password
        found = f"the database that it names does not answer ({type(error).__name__})"
        action = "Start the database, or look at `storage` in this file."
        raise MachineError(instance_home() / CONFIGURATION.name, found, action=action) from None


def prepared_home() -> Path:
    """The same, made if it is not there, and given our configuration if it has none. Raises SettingsError."""
    home = instance_home()
    if not (home / CONFIGURATION.name).exists():
        home.mkdir(parents=True, exist_ok=True)
        with atomic_write(home / CONFIGURATION.name) as temporary:
            temporary.write_bytes(CONFIGURATION.read_bytes())
    return home
