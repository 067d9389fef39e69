"""The launcher of an instance on several hosts: a run is a task of Celery's, which a worker of any host takes.

Belongs here: what differs from dagster-celery's own run launcher
(https://docs.dagster.io/deployment/execution/run-launchers): the retries that a run asks for, and whether a host still
works on it. Celery's record of a task says "started" for ever when the host of it goes down, so it is the workers
themselves who are asked. See docs/decisions/0015. Only an instance whose `dagster.yaml` names this module imports it.
"""

from __future__ import annotations

import time
from typing import Any, Final

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError

from dualface_assets.runs.dagster_internals import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dualface_assets.runs.launcher import process_gone, retry_tags

_ANSWERS_WITHIN: Final = 2.0
"""Seconds in which workers say what they are at work on. All of them pass: nobody knows how many workers there are."""

_ANSWERS_LAST: Final = 5.0
"""Seconds for which an answer serves the other runs, too."""

_PATIENCE: Final = 40.0
"""Seconds for which no worker may know of a started run. A worker that has lost the broker is back within fewer."""


class CeleryLauncher(CeleryRunLauncher):
    """Launches runs as Celery's tasks, and knows whether a worker has them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._asked = float("-inf")
        self._at_work: set[str] | None = None
        self._missed: dict[str, float] = {}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Tag the run with the retries it may have, and launch it."""
        run = context.dagster_run
        self._instance.add_run_tags(run.run_id, retry_tags(run, self._instance))
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """End a run on purpose, so that it is not tried again."""
        if run := self._instance.get_run_by_id(run_id):
            self._instance.report_run_canceling(run)
        return bool(super().terminate(run_id))

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a worker has a started run. The daemon fails a run that none has, and then retries it."""
        tasks, now = self._tasks(), time.monotonic()
        if tasks is None:  # nobody can be asked, so nobody has said that it is gone
            self._missed.clear()
        elif run.tags.get(DAGSTER_CELERY_TASK_ID_TAG) in tasks:
            self._missed.pop(run.run_id, None)
        elif now - self._missed.setdefault(run.run_id, now) > _PATIENCE:
            del self._missed[run.run_id]
            return process_gone(run, self._instance)
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _tasks(self) -> set[str] | None:
        """The tasks that workers are at work on; None where the broker does not answer."""
        if time.monotonic() - self._asked > _ANSWERS_LAST:
            self._at_work = self._ask()
            self._asked = time.monotonic()
        return self._at_work

    def _ask(self) -> set[str] | None:
        with self.celery.connection_for_read() as connection:
            try:
                connection.ensure_connection(max_retries=1, timeout=_ANSWERS_WITHIN)
                inspect = self.celery.control.inspect(timeout=_ANSWERS_WITHIN, connection=connection)
                answers = inspect.active() or {}
            except (OperationalError, *connection.recoverable_connection_errors):
                return None
        return {task["id"] for tasks in answers.values() for task in tasks}
