from collections.abc import Iterator

import dagster as dg
import pytest

from dualface_assets.failures import explained, failure_class, failure_of
from dualface_core.errors import DualfaceError, NobodyFoundError, OutputError
from dualface_core.media.errors import EncoderError, FailureClass

CORRUPT = NobodyFoundError("a.mp4", "no face was found", action="Choose another video.")
DISK_FULL = OutputError("a.mp4", "the disk is full", action="Free some space.")
REFUSED = EncoderError(FailureClass.SESSION_LIMIT, encoder="h264_nvenc", reason="All sessions are in use.")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance that retries failed runs, as ours does."""
    overrides = {"run_retries": {"enabled": True, "max_retries": 0}, "telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance")), overrides=overrides) as instance:
        yield instance


def run_that_raises(error: Exception, instance: dg.DagsterInstance) -> dg.DagsterRun:
    @dg.op
    def fails(context: dg.OpExecutionContext) -> None:
        with explained(context):
            raise error

    @dg.job(tags={"dagster/max_retries": "1"})
    def job() -> None:
        fails()

    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("error", "retried"), [(CORRUPT, False), (DISK_FULL, True), (REFUSED, True), (RuntimeError("a bug"), True)]
)
def test_only_what_may_pass_is_tried_again(error: Exception, retried: bool, instance: dg.DagsterInstance) -> None:
    run = run_that_raises(error, instance)
    assert run.tags["dagster/will_retry"] == str(retried).lower()


@pytest.mark.parametrize(
    ("error", "name"), [(CORRUPT, "nobody-found"), (DISK_FULL, "output"), (REFUSED, "session-limit")]
)
def test_a_failure_has_a_class_that_can_be_found_again(
    error: DualfaceError, name: str, instance: dg.DagsterInstance
) -> None:
    assert failure_class(error) == name
    assert failure_of(run_that_raises(error, instance).run_id, instance) == name


def test_a_bug_has_no_class(instance: dg.DagsterInstance) -> None:
    assert failure_of(run_that_raises(RuntimeError("a bug"), instance).run_id, instance) is None


def test_a_failure_says_what_to_do(instance: dg.DagsterInstance) -> None:
    run = run_that_raises(CORRUPT, instance)
    (record,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert record.dagster_event is not None
    told = record.dagster_event.step_failure_data.user_failure_data
    assert told is not None
    assert told.description == "a.mp4: no face was found. Choose another video."
    assert told.metadata["what to do"].value == "Choose another video."
    assert told.metadata["permanent"].value is True
