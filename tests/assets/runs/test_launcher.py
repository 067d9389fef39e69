"""The launcher, asked by Dagster's own run monitoring, and starting a process by Dagster's own code server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import dagster as dg
import psutil
import pytest

from dualface_assets.runs.dagster_internals import RunFailureReason
from dualface_assets.runs.launcher import retry_tags
from dualface_assets.runs.process_video import RETRIES
from dualface_assets.runs.tags import GRPC_INFO, MAX_RETRIES, PARTITION, RETRY_NUMBER, RETRY_ON_STEP_FAILURE, WILL_RETRY
from tests.dagster_internals import (
    EmptyWorkspaceTarget,
    JobFailureData,
    PythonFileTarget,
    create_test_daemon_workspace_context,
    execute_run_monitoring_iteration,
    get_default_daemon_logger,
)
from tests.own_instance import REPOSITORY, own_instance
from tests.run_worker import killed_at, working_on

HERE = '{"host": "localhost", "socket": "/run/code-server"}'
ELSEWHERE = '{"host": "encoder-2", "port": 4000}'


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Our own instance, which waits a second for a process to be seen, or to end."""
    timeouts = {"start_timeout_seconds": 1, "cancel_timeout_seconds": 1}
    with own_instance(tmp_path, run_monitoring=timeouts) as instance:
        yield instance


def monitored(run: dg.DagsterRun, instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run after the daemon has looked after all runs once."""
    with create_test_daemon_workspace_context(EmptyWorkspaceTarget(), instance) as workspace:
        assert set(execute_run_monitoring_iteration(workspace, get_default_daemon_logger("MonitoringDaemon"))) <= {None}
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def a_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
    retries: str = "4",
    **tags: str,
) -> dg.DagsterRun:
    tags |= {MAX_RETRIES: retries, PARTITION: "talk-0123456789"}
    run = instance.add_run(dg.DagsterRun("process_video", run_id=str(uuid4()), tags=tags, status=status))
    if status is dg.DagsterRunStatus.STARTING:
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, job_name="process_video")
        instance.report_dagster_event(event, run.run_id)
    return run


def test_a_run_whose_process_was_killed_fails_and_is_tried_again_without_counting(instance: dg.DagsterInstance) -> None:
    run = a_run(instance)
    killed_at(run, instance)
    found = monitored(run, instance)
    assert found.status is dg.DagsterRunStatus.FAILURE
    assert (found.tags[WILL_RETRY], found.tags[MAX_RETRIES]) == ("true", "5")
    monitored(run, instance)
    (end,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert "materialize what is missing" in str(end.get_dagster_event().message)


@pytest.mark.parametrize("retries", ["20", "many"])
def test_what_brings_the_machine_down_again_and_again_comes_to_an_end(
    instance: dg.DagsterInstance, retries: str
) -> None:
    run = a_run(instance, retries=retries)
    killed_at(run, instance)
    found = monitored(run, instance)
    assert (found.status, found.tags[MAX_RETRIES]) == (dg.DagsterRunStatus.FAILURE, retries)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_a_run_whose_process_was_killed_before_it_could_be_seen_is_ended_a_little_later(
    instance: dg.DagsterInstance, tmp_path: Path, status: dg.DagsterRunStatus
) -> None:
    run = a_run(instance, status, **{GRPC_INFO: HERE})
    with own_instance(tmp_path, run_monitoring={"start_timeout_seconds": 600}) as patient:
        assert monitored(run, patient).status is status
    time.sleep(1.1)
    found = monitored(run, instance)
    assert (found.status, found.tags[WILL_RETRY]) == (dg.DagsterRunStatus.FAILURE, "true")


def test_a_run_of_another_machine_is_not_judged_from_here(instance: dg.DagsterInstance) -> None:
    there, unknown = a_run(instance, **{GRPC_INFO: ELSEWHERE}), a_run(instance)
    time.sleep(1.1)
    assert monitored(there, instance).status is monitored(unknown, instance).status is dg.DagsterRunStatus.STARTED


def test_a_run_that_is_worked_on_is_left_alone(instance: dg.DagsterInstance) -> None:
    run = a_run(instance, **{GRPC_INFO: HERE})
    with working_on(run, instance):
        time.sleep(1.1)
        assert monitored(run, instance).status is dg.DagsterRunStatus.STARTED


def test_a_run_that_was_being_terminated_is_canceled_and_not_tried_again(instance: dg.DagsterInstance) -> None:
    run = a_run(instance)
    killed_at(run, instance)
    instance.report_run_canceling(run)
    time.sleep(1.1)
    found = monitored(run, instance)
    assert (found.status, found.tags.get(WILL_RETRY)) == (dg.DagsterRunStatus.CANCELED, None)


def test_a_run_without_tags_asks_for_the_retry_that_our_job_asks_for(instance: dg.DagsterInstance) -> None:
    assert retry_tags(dg.DagsterRun("__ASSET_JOB"), instance) == RETRIES


def test_a_run_keeps_what_it_was_told_about_retries(instance: dg.DagsterInstance) -> None:
    assert MAX_RETRIES not in retry_tags(dg.DagsterRun("__ASSET_JOB", tags={MAX_RETRIES: "0"}), instance)


@dg.job
def failing() -> None: ...


class Tries:
    """Runs of a job, each one repeating the one before."""

    BY_ITSELF: ClassVar = {RETRY_NUMBER: "1"}

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._latest: dg.DagsterRun | None = None

    def fails(self, *, started_by_a_person: bool = False) -> str:
        """A run of which a step fails. Gives whether it is tried again."""
        run = self._launched({} if started_by_a_person else self.BY_ITSELF)
        reason = JobFailureData(error=None, failure_reason=RunFailureReason.STEP_FAILURE)
        self._instance.report_run_failed(run, job_failure_data=reason)
        return self._is_tried_again(run.run_id)

    def is_killed(self) -> str:
        """A run whose process ends without a word."""
        run = self._launched(self.BY_ITSELF)
        self._instance.report_run_failed(run)
        return self._is_tried_again(run.run_id)

    def _launched(self, tags: dict[str, str]) -> dg.DagsterRun:
        parent = self._latest
        related = {"parent_run_id": parent.run_id, "root_run_id": parent.root_run_id or parent.run_id} if parent else {}
        group = {f"dagster/{name}": value for name, value in related.items()}
        inherited = {RETRY_ON_STEP_FAILURE: parent.tags.get(RETRY_ON_STEP_FAILURE, "true")} if parent else {}
        run = self._instance.create_run_for_job(
            failing, tags={**group, **inherited, **(tags if parent else {})}, **related
        )
        self._instance.add_run_tags(run.run_id, retry_tags(run, self._instance))
        return run

    def _is_tried_again(self, run_id: str) -> str:
        self._latest = self._instance.get_run_by_id(run_id)
        assert self._latest is not None
        return self._latest.tags[WILL_RETRY]


def test_a_run_that_fails_is_tried_again_once_however_often_it_was_killed_in_between(
    instance: dg.DagsterInstance,
) -> None:
    tries = Tries(instance)
    assert [tries.fails(), tries.is_killed(), tries.is_killed(), tries.fails()] == ["true", "true", "true", "false"]


def test_a_video_that_kills_its_process_each_time_comes_to_an_end(instance: dg.DagsterInstance) -> None:
    tries = Tries(instance)
    assert [tries.is_killed() for _ in range(5)] == ["true", "true", "true", "true", "false"]


def test_a_run_that_a_person_starts_again_may_fail_once_more(instance: dg.DagsterInstance) -> None:
    tries = Tries(instance)
    assert [tries.fails(), tries.fails()] == ["true", "false"]
    assert [tries.fails(started_by_a_person=True), tries.fails()] == ["true", "false"]


LOCATION = """
import os
from pathlib import Path

import dagster as dg
from dualface_assets.runs.executor import one_process

@dg.op
def note_priority(context):
    Path(context.instance.root_directory, "priority").write_text(str(os.nice(0)))

@dg.job(executor_def=one_process)
def launched():
    note_priority()

defs = dg.Definitions(jobs=[launched])
"""


def test_a_run_that_is_launched_has_its_tags_and_lets_others_go_first(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    code = tmp_path / "location.py"
    code.write_text(LOCATION)
    target = PythonFileTarget(str(code), None, working_directory=str(REPOSITORY), location_name="ours")
    before = set(psutil.Process().children())
    with create_test_daemon_workspace_context(target, instance) as workspace:
        code_servers = set(psutil.Process().children()) - before
        request = workspace.create_request_context()
        job = request.get_code_location("ours").get_repository("__repository__").get_full_job("launched")
        origin = job.get_remote_origin()
        run = instance.add_run(dg.DagsterRun("launched", run_id=str(uuid4()), remote_job_origin=origin))
        instance.launch_run(run.run_id, request)
        while not (found := instance.get_run_by_id(run.run_id)) or not found.is_finished:
            time.sleep(0.1)
    _, left = psutil.wait_procs(code_servers)  # Dagster ends its code server and leaves a zombie
    assert left == []
    assert found.status is dg.DagsterRunStatus.SUCCESS
    assert found.tags.items() >= RETRIES.items()
    assert int((tmp_path / "priority").read_text()) == min(psutil.Process().nice() + 10, 19)
