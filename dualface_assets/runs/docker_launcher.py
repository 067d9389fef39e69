"""The launcher of an instance on one big host with containers: a run is a container of its own.

Belongs here: what differs from dagster-docker's launcher. Only an instance whose `dagster.yaml` names this module
(`deploy/docker/dagster.yaml`) imports it. See docs/decisions/0015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster_docker import DockerRunLauncher
from docker.errors import DockerException
from requests.exceptions import RequestException

from dualface_assets.runs.dagster_internals import CheckRunHealthResult, WorkerStatus
from dualface_assets.runs.launcher import WorkerOfItsOwn

if TYPE_CHECKING:
    import dagster as dg


class DockerLauncher(WorkerOfItsOwn, DockerRunLauncher):
    """Launches each run as a container."""

    def _ask(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """A Docker that does not answer, as while it is restarted, has not said that a container is gone."""
        try:
            return super()._ask(run)
        except (DockerException, RequestException):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
