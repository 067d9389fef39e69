"""The executor, in runs of a small job of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import dagster as dg
import psutil
import pytest

from dualface_assets.runs.executor import one_process
from dualface_assets.runs.process_video import RETRIES

REPOSITORY = Path(__file__).parents[3]


@dg.op(pool="gpu")
def encode() -> None: ...


@dg.op
def fail() -> None:
    raise ValueError("no such luck")


@dg.job(executor_def=one_process)
def encoding() -> None:
    encode()


@dg.job(executor_def=one_process)
def failing() -> None:
    fail()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def test_a_run_without_tags_asks_for_the_retry_that_our_job_asks_for(instance: dg.DagsterInstance) -> None:
    with dg.execute_job(dg.reconstructable(encoding), instance=instance) as result:
        assert result.success
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags.items() >= RETRIES.items()


def test_a_run_keeps_what_it_was_told_about_retries(instance: dg.DagsterInstance) -> None:
    tags = {"dagster/max_retries": "0"}
    with dg.execute_job(dg.reconstructable(encoding), instance=instance, tags=tags) as result:
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/max_retries"] == "0"


def test_a_run_in_the_caller_s_process_leaves_its_priority_as_it_is(instance: dg.DagsterInstance) -> None:
    before = psutil.Process().nice()
    with dg.execute_job(dg.reconstructable(encoding), instance=instance) as result:
        assert result.success
    assert psutil.Process().nice() == before


class Tries:
    """Runs of a job that fails, each one repeating the one before."""

    BY_ITSELF: ClassVar = {"dagster/retry_number": "1"}

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._latest: dg.DagsterRun | None = None

    def fails(self, *, started_by_a_person: bool = False) -> str:
        """A run that lives to tell of its failure. Gives whether it is tried again."""
        tags = {} if started_by_a_person or self._latest is None else self.BY_ITSELF
        repeats = self._latest and dg.ReexecutionOptions(parent_run_id=self._latest.run_id)
        job = dg.reconstructable(failing)
        with dg.execute_job(job, self._instance, reexecution_options=repeats, raise_on_error=False, tags=tags) as run:
            return self._is_tried_again(run.run_id)

    def is_killed(self) -> str:
        """A run whose process ends without a word."""
        parent = self._latest
        related = {"parent_run_id": parent.run_id, "root_run_id": parent.root_run_id or parent.run_id} if parent else {}
        group = {f"dagster/{name}": value for name, value in related.items()}
        tags = {**RETRIES, **group, **(self.BY_ITSELF if parent else {})}
        run = self._instance.create_run_for_job(failing, tags=tags, **related)
        self._instance.report_run_failed(run)
        return self._is_tried_again(run.run_id)

    def _is_tried_again(self, run_id: str) -> str:
        self._latest = self._instance.get_run_by_id(run_id)
        assert self._latest is not None
        return self._latest.tags["dagster/will_retry"]


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


def test_a_run_that_waits_for_a_slot_leaves_the_processor_to_others(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default("gpu")
    for step in ("one", "two"):
        assert storage.claim_concurrency_slot("gpu", "another run", step).is_claimed
    command = [sys.executable, __file__, instance.root_directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not (runs := instance.get_runs()) or not blocked(runs[0], instance):
            assert process.poll() is None
            time.sleep(0.05)
        waiting = psutil.Process(process.pid)
        before, begun = sum(waiting.cpu_times()[:2]), time.monotonic()
        time.sleep(3)
        used, waited = sum(waiting.cpu_times()[:2]) - before, time.monotonic() - begun
        storage.free_concurrency_slots_for_run("another run")
        assert process.wait(60) == 0
    assert used < waited / 10
    assert storage.get_concurrency_info("gpu").active_slot_count == 0


def blocked(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    return any("blocked by limit for pool gpu" in entry.message for entry in instance.all_logs(run.run_id))


if __name__ == "__main__":
    with (
        dg.DagsterInstance.from_config(sys.argv[1]) as given,
        dg.execute_job(dg.reconstructable(encoding), instance=given) as done,
    ):
        sys.exit(not done.success)
