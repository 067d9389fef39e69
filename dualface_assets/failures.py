"""What happens to an error: who is told what, and whether anybody tries again.

Belongs here: the one way from a `DualfaceError` to Dagster. Dagster has two kinds of retry, and they know nothing of
each other. A retry policy works inside a run and listens to `Failure(allow_retries=False)`. A run retry is a new run,
started by the daemon, and listens to a tag of the failed run only: `dagster/retry_on_asset_or_op_failure`. Here it is
run retries alone (when a process is killed, nothing inside it can try again), and so it is that tag which decides.
Without it every file that is no video would be looked at twice.

A retry inherits the tags of the run that failed, whoever starts it. So the tag is written at every failure: what was
permanent once, such as a wrong setting, may be put right, and then the next failure has to be judged by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import dagster as dg

from dualface_core.errors import DualfaceError, FileError
from dualface_core.media.errors import EncoderError

RETRY_TAG: Final = "dagster/retry_on_asset_or_op_failure"


CLASS: Final = "failure"
"""Metadata of a failed step: the class of its failure."""

NEXT_STEP: Final = "what to do"
"""Metadata of a failed step: a sentence."""


@dataclass(frozen=True)
class Explanation:
    """What a failed step has left for people.

    Attributes:
        step: its key.
        failure: the class of its failure.
        sentence: what happened.
        next_step: what to do.
    """

    step: str
    failure: str
    sentence: str
    next_step: str


@contextmanager
def explained(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[None]:
    """Turn our errors into failures that say what happened and what to do. Bugs pass, with their traceback."""
    try:
        yield
    except DualfaceError as error:
        kind = failure_class(error)
        context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "false" if error.permanent else "true"})
        raise dg.Failure(
            description=str(error),
            metadata={CLASS: kind, NEXT_STEP: next_step(error), "permanent": error.permanent},
            allow_retries=not error.permanent,
        ) from error


def failure_class(error: DualfaceError) -> str:
    """A short name for a kind of failure, such as `unreadable-video` or `session-limit`."""
    if isinstance(error, EncoderError):
        return error.failure.value
    return class_name(type(error))


def class_name(kind: type[DualfaceError]) -> str:
    """The short name of a kind of error, such as `unreadable-video`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()


def failure_of(run_id: str, instance: dg.DagsterInstance) -> str | None:
    """The class of the failure that ended a run; None if the run ended without a word: its process was killed."""
    told = explanation_of(run_id, instance)
    return None if told is None else told.failure


def explanation_of(run_id: str, instance: dg.DagsterInstance) -> Explanation | None:
    """What the failed step of a run has left; None if the run ended without a word, or because of a bug."""
    for record in reversed(instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)):
        event = record.dagster_event
        told = event.step_failure_data.user_failure_data if event else None
        if event is not None and told is not None and CLASS in told.metadata:
            named = {name: str(told.metadata[name].value) for name in (CLASS, NEXT_STEP)}
            return Explanation(str(event.step_key), named[CLASS], told.description or "", named[NEXT_STEP])
    return None


def next_step(error: DualfaceError) -> str:
    """What a person can do about it, as a sentence."""
    if isinstance(error, FileError):
        return error.action
    if error.permanent:
        return "Put this right, then materialize the asset again."
    return "It is tried once more by itself. If that fails too, look at the log of the run."
