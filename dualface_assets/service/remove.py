"""What `dualface remove` does: shows what there is of each video, asks, and removes it.

Belongs here: the conversation on a shell. What goes, and when it may not, is in `housekeeping.removal`.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import typer

from dualface_assets.housekeeping.removal import Removal, removal_of, remove
from dualface_assets.service.instance_home import prepared_home
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import video_store
from dualface_core.errors import one_line


def main(keys: Sequence[str], *, yes: bool) -> None:
    """Remove videos. Raises VideoInUseError, MissingInputError, or MachineError for a store that is not mounted.

    Args:
        keys: of the videos.
        yes: whether no question is asked.
    """
    store = video_store(ServiceSettings.load())
    prepared_home()
    with dg.DagsterInstance.get() as instance, store.mounted(instance):
        for key in keys:
            typer.echo(_said(removal_of(key, store, instance)))
        if not yes:
            typer.confirm("Remove all of this? There is no way back.", abort=True)
        for key in keys:
            remove(key, store, instance)
            typer.echo(f"Removed {key}.")


def _said(removal: Removal) -> str:
    parts = ", ".join(part.part for part in removal.parts) or "nothing in the store"
    name = f" ({one_line(removal.name)})" if removal.name else ""
    return f"{removal.key}{name}: {parts}, {removal.size_bytes / 1e6:.1f} MB; runs: {len(removal.runs)}"
