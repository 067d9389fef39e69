"""The launcher of an instance on several hosts: a run is a task of Celery's, which a worker of any host takes.

Belongs here: what differs from dagster-celery's own run launcher
(https://docs.dagster.io/deployment/execution/run-launchers): the retries that a run asks for, the queue that it waits
in, and whether a host still works on it. Celery's record of a task says "started" for ever when the host of it goes
down, so it is the workers themselves who are asked. See docs/decisions/0015. Only an instance whose `dagster.yaml`
names this module imports it.
"""

from __future__ import annotations

import time
from typing import Any, Final

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG
from kombu.exceptions import OperationalError

from dualface_assets.runs.dagster_internals import CheckRunHealthResult, LaunchRunContext, WorkerStatus, run_of_task
from dualface_assets.runs.earlier_encodes import earlier_nvenc_failure
from dualface_assets.runs.launcher import process_gone, retry_tags

_ANSWERS_WITHIN: Final = 2.0
"""Seconds in which workers say what they are at work on. All of them pass: nobody knows how many workers there are."""

_ANSWERS_LAST: Final = 5.0
"""Seconds for which an answer serves the other runs, too."""

_PATIENCE: Final = 40.0
"""Seconds for which no worker may know of a started run. A worker that has lost the broker is back within fewer."""


class CeleryLauncher(CeleryRunLauncher):
    """Launches runs as Celery's tasks, and knows whether a worker has them.

    Args:
        software_queue: the queue of runs in which software encodes since NVENC failed at the video; without it, that of
            all others. A run whose tag `dagster-celery/queue` names one waits there.
    """

    def __init__(self, *arguments: Any, software_queue: str | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._software_queue = software_queue
        self._asked = float("-inf")
        self._known: set[str] | None = None
        self._missed: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """What its configuration in `dagster.yaml` may hold."""
        inherited: Any = super().config_type()
        return {**inherited, "software_queue": dg.Field(dg.Noneable(dg.StringSource), is_required=False)}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Tag the run with the retries it may have and its queue, and launch it."""
        run = context.dagster_run
        tags = retry_tags(run, self._instance)
        if self._software_queue and earlier_nvenc_failure(run, self._instance):
            tags = {DAGSTER_CELERY_QUEUE_TAG: self._software_queue, **tags}
        self._instance.add_run_tags(run.run_id, tags)
        super().launch_run(context._replace(dagster_run=run.with_tags({**run.tags, **tags})))

    def terminate(self, run_id: str) -> bool:
        """End a run on purpose, so that it is not tried again."""
        if run := self._instance.get_run_by_id(run_id):
            self._instance.report_run_canceling(run)
        return bool(super().terminate(run_id))

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a worker has a run that was launched, or it is on the way to one.

        The daemon asks for started runs, fails one that none has, and then retries it. The sensor `recovery` asks for
        those that should have started by now, and does the same.
        """
        if run.status is dg.DagsterRunStatus.STARTING:
            return self._check_on_the_way(run)
        runs, now = self._runs(), time.monotonic()
        if runs is None:  # nobody can be asked, so nobody has said that it is gone
            self._missed.clear()
        elif run.run_id in runs:
            self._missed.pop(run.run_id, None)
        elif now - self._missed.setdefault(run.run_id, now) > _PATIENCE:
            del self._missed[run.run_id]
            return process_gone(run, self._instance)
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _check_on_the_way(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run that has not begun waits in the broker, or a worker has just taken it.

        A worker that takes one and goes down at once has taken it from the broker for good; and a broker may forget.
        """
        queue = run.tags.get(DAGSTER_CELERY_QUEUE_TAG, self.default_queue)
        with self.celery.connection_for_read() as connection:
            try:
                connection.ensure_connection(max_retries=1, timeout=_ANSWERS_WITHIN)
                waiting = connection.default_channel.queue_declare(queue).message_count
            except (OperationalError, *connection.recoverable_connection_errors):
                waiting = 1
        runs = set() if waiting else self._runs()  # in this order, or it could be between the two
        if waiting or runs is None or run.run_id in runs:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return process_gone(run, self._instance)

    def _runs(self) -> set[str] | None:
        """The runs that workers have; None where the broker does not answer."""
        if time.monotonic() - self._asked > _ANSWERS_LAST:
            self._known = self._ask()
            self._asked = time.monotonic()
        return self._known

    def _ask(self) -> set[str] | None:
        with self.celery.connection_for_read() as connection:
            try:
                connection.ensure_connection(max_retries=1, timeout=_ANSWERS_WITHIN)
                inspect = self.celery.control.inspect(timeout=_ANSWERS_WITHIN, connection=connection)
                answers = [*(inspect.active() or {}).values(), *(inspect.reserved() or {}).values()]
            except (OperationalError, *connection.recoverable_connection_errors):
                return None
        return {run_of_task(task["kwargs"]) for tasks in answers for task in tasks}
