"""The launcher of an instance in a Kubernetes cluster: a run is a job of its own, on a node that has what it asks for.

Belongs here: what differs from dagster-k8s's launcher. Only an instance whose `dagster.yaml` names this module
(`deploy/k8s/dagster.yaml`) imports it. See docs/decisions/0015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster_k8s.launcher import K8sRunLauncher

from dualface_assets.runs.dagster_internals import CheckRunHealthResult, WorkerStatus
from dualface_assets.runs.launcher import WorkerOfItsOwn

if TYPE_CHECKING:
    import dagster as dg

_NO_SUCH_JOB = "could not be found"
"""What dagster-k8s says where the cluster has answered that there is no such job, as after its node was removed."""


class K8sLauncher(WorkerOfItsOwn, K8sRunLauncher):
    """Launches each run as a job of Kubernetes."""

    def _ask(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """dagster-k8s gives one status for a job that is gone and for a cluster that does not answer."""
        answer = super()._ask(run)
        if answer.status == WorkerStatus.UNKNOWN and _NO_SUCH_JOB not in (answer.msg or ""):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return answer
