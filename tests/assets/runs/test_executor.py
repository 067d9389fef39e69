"""The executor, in runs of a small job of its own."""

from __future__ import annotations

import gc
import subprocess
import sys
import time

import dagster as dg
import psutil

from dualface_assets.runs.executor import one_process


@dg.op(pool="gpu")
def encode() -> None: ...


@dg.job(executor_def=one_process)
def encoding() -> None:
    encode()


def test_a_run_looks_for_garbage_rarely_and_leaves_the_priority_of_its_caller_as_it_is(
    instance: dg.DagsterInstance,
) -> None:
    before = psutil.Process().nice()
    gc.set_threshold(700)
    with dg.execute_job(dg.reconstructable(encoding), instance=instance) as result:
        assert result.success
    assert gc.get_threshold()[0] > 10_000
    assert psutil.Process().nice() == before


def test_a_run_that_waits_for_a_slot_leaves_the_processor_to_others(any_instance: dg.DagsterInstance) -> None:
    instance = any_instance
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
