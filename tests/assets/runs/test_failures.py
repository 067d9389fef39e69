import errno
import signal
from collections.abc import Iterator

import dagster as dg
import pytest

from dualface_assets.runs.failures import as_failure, explanation_of, failure_class, failure_of, labeled
from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.errors import DualfaceError, MachineError, NobodyFoundError, OutputError, SettingsError
from tests.dagster_internals import get_run_crash_explanation

CORRUPT = NobodyFoundError("a.mp4", "no face was found", action="Choose another video.")
GONE = MachineError("a.mp4", "cannot be read (Stale file handle)", action="Look at its drive.")
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
        with as_failure(context):
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
    ("error", "at_once", "later"),
    [
        (CORRUPT, False, None),
        (GONE, False, "waiting"),
        (DISK_FULL, False, "waiting"),
        (OSError(errno.ENOSPC, "No space left on device"), False, "waiting"),
        (REFUSED, True, None),
        (RuntimeError("a bug"), True, None),
    ],
)
def test_only_what_may_pass_is_tried_again_and_what_takes_a_while_later(
    error: Exception, at_once: bool, later: str | None, instance: dg.DagsterInstance
) -> None:
    run = run_that_raises(error, instance)
    assert run.tags["dagster/will_retry"] == str(at_once).lower()
    assert run.tags.get("dualface/back_off") == later


@pytest.mark.parametrize(
    ("error", "name"), [(CORRUPT, "nobody-found"), (GONE, "machine"), (DISK_FULL, "output"), (REFUSED, "session-limit")]
)
def test_a_failure_has_a_class_that_can_be_found_again(
    error: DualfaceError, name: str, instance: dg.DagsterInstance
) -> None:
    assert failure_class(error) == name
    assert failure_of(run_that_raises(error, instance).run_id, instance) == name


def test_a_bug_is_called_one_and_its_traceback_is_kept(instance: dg.DagsterInstance) -> None:
    run = run_that_raises(RuntimeError("password: xyzzy"), instance)
    told = explanation_of(run.run_id, instance)
    assert told.failure == "bug"
    assert told.sentence == "A bug in dualface stopped the step fails (RuntimeError)."
    assert "Report it with the log" in told.remedy
    assert failure_of(run.run_id, instance) == "bug"
    (record,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    error = record.get_dagster_event().step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert "password: xyzzy" in error.cause.message
    assert any("raise error" in line for line in error.cause.stack)


def test_what_the_machine_refuses_is_no_bug(instance: dg.DagsterInstance) -> None:
    told = explanation_of(run_that_raises(OSError(errno.ENOSPC, "No space left on device"), instance).run_id, instance)
    assert told.failure == "machine"
    assert told.sentence == "The machine could not do what was asked of it in the step fails: No space left on device."


def test_a_failure_that_was_explained_is_not_explained_again(instance: dg.DagsterInstance) -> None:
    failure = dg.Failure("So it is.", metadata=labeled("x", "y"))
    told = explanation_of(run_that_raises(failure, instance).run_id, instance)
    assert (told.failure, told.sentence, told.remedy) == ("x", "So it is.", "y")


def test_an_error_outside_of_our_steps_is_a_bug_too(instance: dg.DagsterInstance) -> None:
    @dg.op
    def fails() -> None:
        raise ValueError

    @dg.job
    def job() -> None:
        fails()

    run_id = job.execute_in_process(instance=instance, raise_on_error=False).run_id
    assert explanation_of(run_id, instance).failure == "bug"


def test_a_run_that_was_killed_was_interrupted(instance: dg.DagsterInstance) -> None:
    run = instance.add_run(dg.DagsterRun("job", status=dg.DagsterRunStatus.STARTED))
    instance.report_run_failed(run, "Its process is gone.")
    assert explanation_of(run.run_id, instance).failure == "interrupted"
    instance.report_run_failed(run, "It is asked for once more.")  # as the sensor does where the retry does not come
    assert explanation_of(run.run_id, instance).sentence == "Its process is gone."
    assert failure_of(run.run_id, instance) is None


@pytest.mark.parametrize(
    ("ending", "failure"),
    [(signal.SIGABRT, "native-crash"), (signal.SIGSEGV, "native-crash"), (signal.SIGKILL, "interrupted")],
)
def test_native_code_that_crashes_is_told_with_its_signal_and_video(
    ending: signal.Signals, failure: str, instance: dg.DagsterInstance
) -> None:
    tags = {"dagster/partition": "talk-0123456789"}
    run = instance.add_run(dg.DagsterRun("job", status=dg.DagsterRunStatus.STARTED, tags=tags))
    instance.report_engine_event(get_run_crash_explanation("Its process", -ending), run)
    instance.report_run_failed(run)
    told = explanation_of(run.run_id, instance)
    assert told.failure == failure
    if failure == "native-crash":
        assert told.sentence == f"Native code crashed ({ending.name}) while talk-0123456789 was worked on."
        assert "memory" not in told.remedy
    assert failure_of(run.run_id, instance) is None


def run_that_cannot_begin(error: Exception, instance: dg.DagsterInstance) -> str:
    @dg.resource
    def store() -> None:
        raise error

    @dg.op(required_resource_keys={"store"})
    def works() -> None: ...

    @dg.job(resource_defs={"store": store})
    def job() -> None:
        works()

    return job.execute_in_process(instance=instance, raise_on_error=False).run_id


def test_a_run_that_cannot_begin_says_why_and_was_not_interrupted(instance: dg.DagsterInstance) -> None:
    told = explanation_of(run_that_cannot_begin(SettingsError("DUALFACE_STORE: no."), instance), instance)
    assert (told.step, told.failure, told.sentence) == (None, "settings", "DUALFACE_STORE: no.")
    told = explanation_of(run_that_cannot_begin(ValueError("password: xyzzy"), instance), instance)
    assert told.failure == "setup"
    assert told.sentence == "Dagster could not set up the run, or go on with it (ValueError)."
    assert "make doctor" in told.remedy
    told = explanation_of(run_that_cannot_begin(dg.DagsterExecutionInterruptedError(), instance), instance)
    assert told.failure == "interrupted"


def test_a_failure_says_what_to_do(instance: dg.DagsterInstance) -> None:
    run = run_that_raises(CORRUPT, instance)
    (record,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert record.dagster_event is not None
    told = record.dagster_event.step_failure_data.user_failure_data
    assert told is not None
    assert told.description == "a.mp4: no face was found. Choose another video."
    assert told.metadata["what to do"].value == "Choose another video."
    assert told.metadata["permanent"].value is True
    assert told.metadata["tried again"].value == "No."


@pytest.mark.parametrize("error", [DISK_FULL, REFUSED, OSError(errno.EIO, "I/O error"), RuntimeError("a bug")])
def test_whether_it_is_tried_again_is_said_apart_from_what_to_do(
    error: Exception, instance: dg.DagsterInstance
) -> None:
    (record,) = instance.all_logs(run_that_raises(error, instance).run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    told = record.get_dagster_event().step_failure_data.user_failure_data
    assert told is not None
    assert "y itself, " in str(told.metadata["tried again"].value)
    assert "by itself" not in f"{told.description} {told.metadata['what to do'].value}"
