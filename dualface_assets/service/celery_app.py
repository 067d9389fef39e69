"""Celery's application of a worker host: `celery --app dualface_assets.service.celery_app worker`.

Belongs here: what a worker needs besides the settings of its instance, whose `dagster.yaml` names the broker: the task,
and clearing up on its own host, as the sensor `recovery` does where the daemon is.
"""

from __future__ import annotations

import platform
import signal
import time
from importlib.metadata import version
from multiprocessing import process
from typing import Any, Final

import dagster as dg
from celery.signals import task_postrun, task_prerun, worker_process_init
from celery.worker.control import inspect_command
from dagster_celery.tasks import create_execute_job_task

from dualface_assets.housekeeping.recovery import end_idle_processes, remove_leftovers
from dualface_assets.runs.celery_launcher import CeleryLauncher
from dualface_assets.service.doctor_of_hosts import Host, sessions_of_host
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.video_store import video_store
from dualface_core.errors import SettingsError
from dualface_core.settings import Settings
from dualface_core.system.child_processes import signal_with_parent

_MAIN: Final = process.current_process()
"""What multiprocessing takes this process for before Celery forks it."""

with dg.DagsterInstance.get() as _instance:
    if not isinstance(_instance.run_launcher, CeleryLauncher):
        raise SettingsError("The run_launcher of dagster.yaml is not CeleryLauncher: see docs/scale.md.")
    app = _instance.run_launcher.celery
create_execute_job_task(app)


def _be_a_run_s_process(**_: Any) -> None:
    """Allow processes of its own, and end with the worker: what it was at work on is tried again elsewhere.

    Celery's pool forks, and has multiprocessing believe that this is a daemon process, which may have no children.
    """
    process._current_process = _MAIN  # type: ignore[attr-defined]  # noqa: SLF001  there is no other way
    signal_with_parent(signal.SIGKILL)


def _clear_up(**_: Any) -> None:
    """Remove what runs that are over have left on this host, and end processes that go on with one.

    Only in the processes of runs: they are forked, and a connection to the store would not survive that.
    """
    with dg.DagsterInstance.get() as instance:
        store = video_store(ServiceSettings.load())
        end_idle_processes(instance)
        if not store.why_missing(instance):
            remove_leftovers(store, instance)


@inspect_command()  # type: ignore[untyped-decorator]  # of Celery
def dualface_host(state: Any) -> dict[str, Any]:
    """What the doctor asks each worker: what its host has."""
    settings = Settings.load()
    host = Host(
        runs=state.consumer.controller.concurrency,
        queues=[queue.name for queue in state.consumer.task_consumer.queues],
        sessions=sessions_of_host(settings),
        slots=f"{platform.node()}:{settings.runtime}",
        clock=time.time(),
        release=version("dualface"),
    )
    return host.model_dump()


worker_process_init.connect(_be_a_run_s_process)
task_prerun.connect(_clear_up)
task_postrun.connect(_clear_up)
