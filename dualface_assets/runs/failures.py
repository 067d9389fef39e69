"""What happens to an error: how it is explained to people, and whether the run is tried again.

Belongs here: the one way from an error to Dagster, and back to people. Dagster has two kinds of retry, and they know
nothing of each other. A retry policy works inside a run and listens to `Failure(allow_retries=False)`. A run retry is
a new run, started by the daemon, and listens to a tag of the failed run only: `dagster/retry_on_asset_or_op_failure`.
Here it is run retries alone (when a process is killed, nothing inside it can try again), and so it is that tag which
decides. Without it every file that is no video would be processed twice.

See https://docs.dagster.io/deployment/execution/run-retries; `launcher` has the other half, before a run begins.

What may pass, but not at once, such as a full disk, is not left to the daemon, which would try again within seconds.
The run gets the tag `BACK_OFF`, and `housekeeping.recovery` asks for its retry after a pause.

Four kinds of failure have no class of ours in the code that met them: what the operating system refuses ("machine"),
an error that was not foreseen ("bug"), an error outside of all steps ("setup"), and a run that ended without a word
("interrupted"). Of the last, one that code outside of Python took down is told apart by its signal ("native-crash").

What an error says is true of the last failure as of the first, since it is read after both: it promises no retry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import dagster as dg

from dualface_assets.runs.tags import MAX_RETRIES, PARTITION, RETRY_ON_STEP_FAILURE
from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.errors import DualfaceError, FileError, NativeCrashError

if TYPE_CHECKING:
    from dualface_assets.runs.dagster_internals import SerializableErrorInfo

MACHINE: Final = "machine"
BUG: Final = "bug"
SETUP: Final = "setup"
INTERRUPTED: Final = "interrupted"

AFTER_AN_INTERRUPTION: Final = (
    "If no new run follows, materialize what is missing. If it is the same video each time, look whether the machine "
    "runs out of memory (its kernel log says so), and report the video."
)
"""What to do about a run that has ended without a word."""

_CRASH: Final = re.compile(r"was terminated by signal \d+ \((SIGABRT|SIGBUS|SIGFPE|SIGILL|SIGSEGV)\)")
"""What Dagster's code server says of a run whose process has crashed, rather than been killed."""

_AFTER_A_CRASH: Final = (
    "If no new run follows, export the video again: it is damaged, or of a kind that a library cannot cope with. "
    "Report it; the run's stderr says where it crashed. Other videos are not affected."
)

_ENDED_FROM_OUTSIDE: Final = frozenset({"DagsterExecutionInterruptedError", "KeyboardInterrupt", "SystemExit"})

BACK_OFF: Final = "dualface/back_off"
"""Tag of a failed run whose retry is asked for after a pause: `WAITING`, then `OVER`. A run begins with `NONE`."""

WAITING: Final = "waiting"
OVER: Final = "over"
NONE: Final = "none"

_RECORD: Final = "dualface/failure"
"""Metadata of a failed step, for programs: class and remedy. No label that people see is read back."""


@dataclass(frozen=True)
class Explanation:
    """Why a run has failed, for people.

    Attributes:
        step: key of the step that failed; None if the run ended in no step of its own.
        failure: the class of its failure.
        sentence: what happened.
        remedy: what to do.
    """

    step: str | None
    failure: str
    sentence: str
    remedy: str


Retry = Literal["never", "once", "later"]

_TRIED_AGAIN: Final[dict[Retry, str]] = {
    "never": "No.",
    "once": "Once, by itself, unless this was that try or retries are off.",
    "later": "By itself, after pauses of minutes and then hours, unless retries are off.",
}

Context = dg.OpExecutionContext | dg.AssetExecutionContext | dg.OutputContext | dg.InputContext


@contextmanager
def as_failure(context: Context) -> Iterator[None]:
    """Turn errors into failures that say what happened and what to do. Their cause stays, with its traceback."""
    try:
        yield
    except dg.Failure:  # it has been explained already, further in
        raise
    except DualfaceError as error:
        follows: Retry = "never" if error.permanent else "later" if error.back_off else "once"
        raise _failure(context, failure_class(error), str(error), remedy(error), follows) from error
    except (OSError, MemoryError) as error:
        found = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        sentence = f"The machine could not do what was asked of it in {_place(context)}: {found}."
        action = "Look at its disks, permissions and memory; `make doctor` helps."
        raise _failure(context, MACHINE, sentence, action, "later") from error
    except Exception as error:
        # What the error says is left out: it may hold anything, and the log has it.
        sentence = f"A bug in dualface stopped {_place(context)} ({type(error).__name__})."
        action = "Report it with the log: the traceback is in it, and in the step's stderr on the run's page."
        raise _failure(context, BUG, sentence, action, "once") from error


def _failure(context: Context, kind: str, sentence: str, action: str, retry: Retry) -> dg.Failure:
    if isinstance(context, dg.OutputContext | dg.InputContext):
        run, instance = context.step_context.dagster_run, context.step_context.instance
    else:
        run, instance = context.run, context.instance
    if retry != "once":
        instance.add_run_tags(run.run_id, {RETRY_ON_STEP_FAILURE: "false"})
    if retry == "later" and instance.run_retries_enabled and run.tags.get(MAX_RETRIES, "0") != "0":
        instance.add_run_tags(run.run_id, {BACK_OFF: WAITING})
    return dg.Failure(
        description=sentence,
        metadata={**labeled(kind, action), "tried again": _TRIED_AGAIN[retry], "permanent": retry == "never"},
        allow_retries=retry != "never",
    )


def labeled(failure: str, remedy: str) -> dict[str, dg.MetadataValue[Any]]:
    """A failure's class and what to do about it as metadata, for people and for programs."""
    record = dg.MetadataValue.json({"failure": failure, "remedy": remedy})
    return {"failure": dg.MetadataValue.text(failure), "what to do": dg.MetadataValue.text(remedy), _RECORD: record}


def _place(context: Context) -> str:
    """Which step it is, and what it was doing if not its own work."""
    match context:
        case dg.OutputContext():
            return f"the storing of {context.step_key}"
        case dg.InputContext():
            return f"the loading of {context.asset_key.to_user_string()}"
        case dg.AssetExecutionContext():
            return f"the step {context.op_execution_context.op_handle}"
        case _:
            return f"the step {context.op_handle}"


def failure_class(error: DualfaceError) -> str:
    """A short name for a kind of failure, such as `unreadable-video` or `session-limit`."""
    if isinstance(error, EncoderError):
        return error.failure.value
    return class_name(type(error))


def class_name(kind: type[DualfaceError]) -> str:
    """The short name of a kind of error, such as `unreadable-video`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()


def failure_classes() -> frozenset[str]:
    """The classes of failures that this process knows of; others belong to steps, whose modules it has not loaded."""
    kinds = (kind for kind in _all_kinds(DualfaceError) if not issubclass(kind, EncoderError))
    return frozenset({MACHINE, BUG, SETUP, INTERRUPTED, *FailureClass, *map(class_name, kinds)})


def failure_of(run_id: str, instance: dg.DagsterInstance) -> str | None:
    """The class of the failure that ended a run; None if the run ended without a word: its process was killed."""
    kind = explanation_of(run_id, instance).failure
    return None if kind in {INTERRUPTED, class_name(NativeCrashError)} else kind


def explanation_of(run_id: str, instance: dg.DagsterInstance) -> Explanation:
    """Why a failed run has failed."""
    for record in reversed(instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)):
        event = record.get_dagster_event()
        step, data = str(event.step_key), event.step_failure_data.user_failure_data
        if data is not None and _RECORD in data.metadata:
            known: Any = data.metadata[_RECORD].value
            return Explanation(step=step, sentence=data.description or "", **known)
        sentence = f"The step {step} ended with an error that is not explained."
        return Explanation(step, BUG, sentence, "Report it, with the run's log.")
    ends = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    # Those after the first are of a retry that was asked for once more.
    end = ends[0].get_dagster_event() if ends else None
    error = end.job_failure_data.error if end and end.event_specific_data else None
    if error and error.cls_name not in _ENDED_FROM_OUTSIDE:
        return _outside_of_all_steps(error)
    for record in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        if crash := _CRASH.search(record.get_dagster_event().message or ""):
            run = instance.get_run_by_id(run_id)
            video = run.tags.get(PARTITION) if run else None
            sentence = f"Native code crashed ({crash[1]}) while {video or 'the run'} was worked on."
            return Explanation(None, class_name(NativeCrashError), sentence, _AFTER_A_CRASH)
    sentence = (end.message if end else None) or "The run ended without a word."
    return Explanation(None, INTERRUPTED, sentence, AFTER_AN_INTERRUPTION)


def _outside_of_all_steps(error: SerializableErrorInfo) -> Explanation:
    """Why Dagster could not set up a run, or go on with it: our error among the causes, or the kind of error."""
    cause: SerializableErrorInfo | None = error
    kinds = {kind.__name__: kind for kind in _all_kinds(DualfaceError)}
    while cause is not None:
        error = cause
        if kind := kinds.get(str(error.cls_name)):
            sentence = error.message.partition(": ")[2].strip()
            return Explanation(None, class_name(kind), sentence, "Put this right, then materialize the asset again.")
        cause = error.cause or error.context
    sentence = f"Dagster could not set up the run, or go on with it ({error.cls_name})."
    return Explanation(None, SETUP, sentence, "Run `make doctor`. The traceback is in the run's log.")


def _all_kinds(kind: type[DualfaceError]) -> Iterator[type[DualfaceError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _all_kinds(below)


def repeated(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Iterator[dg.DagsterRun]:
    """The runs that a run repeats, the latest first, whether a person or the daemon started them."""
    parent: dg.DagsterRun | None = run
    while parent and parent.parent_run_id and (parent := instance.get_run_by_id(parent.parent_run_id)):
        yield parent


def remedy(error: DualfaceError) -> str:
    """What a person can do about it, as a sentence."""
    if isinstance(error, FileError):
        return error.action
    if error.permanent:
        return "Put this right, then materialize the asset again."
    return "Look at the log of the run."
