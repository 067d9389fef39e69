"""The two sensors that notify a webhook of what has become of a video: `video_finished` and `run_failed`.

Belongs here: which runs are delivered, when, and the message. How it is sent is `webhook`'s business.

Dagster has sensors for the status of runs, but they move on to the next run whatever has happened to this one: a
receiver that is down for a minute would miss it for ever (1.13.27, `run_status_sensor_definition`). These here keep
pending deliveries in their cursor, which Dagster stores after each tick. A tick that dies after it has sent something
sends it again, with the same id: at least once, and once nearly always.

A failed run is delivered only if no retry follows. Whether one does is known a moment after the failure
(`dagster/will_retry`), and is only a promise until the retry exists (`dagster/auto_retry_run_id`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal
from urllib.parse import quote

import dagster as dg
from pydantic import BaseModel

from dualface_assets.assets.metadata import Record
from dualface_assets.notifications.webhook import DeliveryError, Message, Webhook
from dualface_assets.runs.failures import BACK_OFF, WAITING, explanation_of
from dualface_assets.runs.tags import AUTO_RETRY_RUN_ID, PARTITION, RETRY_NUMBER, WILL_RETRY
from dualface_assets.settings import WebhookSettings
from dualface_assets.store.video_store import VideoStore

EXPIRES_AFTER: Final = 86_400.0
"""Seconds after the end of a run from which on it is not delivered any more."""

RETRY_EXPECTED_WITHIN: Final = 600.0
"""Seconds for which a failed run waits for the retry that was announced. Then that is not going to come."""

_FIRST_BACK_OFF: Final = 10.0
_LONGEST_BACK_OFF: Final = 3600.0
"""Seconds between two attempts; each pause is twice the one before."""

_SECONDS_PER_TICK: Final = 20.0
"""After so long a tick begins no other message. The daemon allows a sensor 60 seconds."""

_MOST_PENDING: Final = 200
"""Deliveries in the cursor. What comes after them stays in Dagster's log until there is room."""

_RESULT: Final = dg.AssetKey("encoded_video")


class Ending(Enum):
    """The ends of a run that are delivered. The value is the type of the message."""

    FINISHED = "video.finished"
    FAILED = "run.failed"


_EndOfRun = Literal[dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE]
_EVENTS: Final[Mapping[Ending, _EndOfRun]] = {
    Ending.FINISHED: dg.DagsterEventType.RUN_SUCCESS,
    Ending.FAILED: dg.DagsterEventType.RUN_FAILURE,
}
_STATUSES: Final = {Ending.FINISHED: dg.DagsterRunStatus.SUCCESS, Ending.FAILED: dg.DagsterRunStatus.FAILURE}


class Pending(BaseModel):
    """A run that has ended and is still to be delivered. Times are seconds since the epoch.

    Attributes:
        run_id: the run.
        ended: when.
        attempts: deliveries that failed.
        due: when the next one is to be made.
    """

    run_id: str
    ended: float
    attempts: int = 0
    due: float = 0.0

    def postponed(self, now: float) -> Pending:
        """The same after another failed attempt, with exponential back-off."""
        pause = min(_FIRST_BACK_OFF * 2**self.attempts, _LONGEST_BACK_OFF)
        return self.model_copy(update={"attempts": self.attempts + 1, "due": now + pause})


class Position(BaseModel):
    """The cursor of a sensor.

    Attributes:
        seen: number of the last event of Dagster's log that was read.
        pending: what is still to be delivered, oldest first.
    """

    seen: int
    pending: list[Pending] = []


@dataclass(frozen=True)
class Notifier:
    """Delivers the runs that have ended in one way.

    Attributes:
        ending: the way.
        instance: knows the runs.
        store: knows what the videos were called.
        location: the code location whose runs these are; None for runs of no location, as in `make demo`.
    """

    ending: Ending
    instance: dg.DagsterInstance
    store: VideoStore
    location: str | None

    def head(self) -> Position:
        """The position after the newest event, with nothing pending."""
        newest = self.instance.fetch_run_status_changes(_EVENTS[self.ending], limit=1).records
        return Position(seen=newest[0].storage_id if newest else 0)

    def catch_up(self, position: Position) -> Position:
        """Add the runs that have ended since, as long as there is room."""
        room = _MOST_PENDING - len(position.pending)
        if room <= 0:
            return position
        wanted = dg.RunStatusChangeRecordsFilter(_EVENTS[self.ending], after_storage_id=position.seen)
        events = self.instance.fetch_run_status_changes(wanted, limit=room, ascending=True).records
        found = [Pending(run_id=event.run_id, ended=event.timestamp) for event in events]
        seen = events[-1].storage_id if events else position.seen
        return Position(seen=seen, pending=[*position.pending, *found])

    def deliver(
        self, pending: list[Pending], webhook: Webhook, web_url: str | None, *, now: float
    ) -> tuple[list[Pending], list[str]]:
        """Send what is due. Gives what is still pending, and sentences on what was done.

        Where there is no answer, nothing more is tried in this tick; where one message isn't taken, the next one is.
        """
        deadline = time.monotonic() + _SECONDS_PER_TICK
        answers = True
        left, done = [], []
        for waiting in pending:
            if waiting.due > now or not answers or time.monotonic() > deadline:
                left.append(waiting)
                continue
            run = self.instance.get_run_by_id(waiting.run_id)
            if run is None or not self._is_relevant(run):
                continue
            if now - waiting.ended > EXPIRES_AFTER:
                done.append(f"Gave up on run {run.run_id} after {waiting.attempts} attempts.")
            elif self._may_be_retried(run, now - waiting.ended):
                left.append(waiting)
            else:
                try:
                    webhook.send(self._message(run, waiting.ended, web_url), now=now)
                except DeliveryError as error:
                    answers = error.answered
                    left.append(waiting.postponed(now))
                    done.append(f"Run {run.run_id} could not be delivered: {error}")
                else:
                    done.append(f"Delivered run {run.run_id} to {webhook.recipient}.")
        return left, done

    def _is_relevant(self, run: dg.DagsterRun) -> bool:
        """Whether this run is one of ours that ended in this way: with a result, or for good."""
        origin = run.remote_job_origin
        location = origin.repository_origin.code_location_origin.location_name if origin else None
        if location != self.location or run.status is not _STATUSES[self.ending]:
            return False
        if self.ending is Ending.FINISHED:
            return self._result(run) is not None
        return AUTO_RETRY_RUN_ID not in run.tags

    def _may_be_retried(self, run: dg.DagsterRun, age: float) -> bool:
        """Whether a retry of a failed run may still follow."""
        if self.ending is Ending.FINISHED or not self.instance.run_retries_enabled:
            return False
        if run.tags.get(BACK_OFF) == WAITING:
            return True
        return run.tags.get(WILL_RETRY, "true") == "true" and age < RETRY_EXPECTED_WITHIN

    def _message(self, run: dg.DagsterRun, ended: float, web_url: str | None) -> Message:
        key = run.tags.get(PARTITION)
        retries = run.tags.get(RETRY_NUMBER, "")  # which a person may have typed in
        base = None if web_url is None else web_url.rstrip("/")
        data: dict[str, Any] = {
            "key": key,
            "name": None if key is None else self.store.uploaded_name(key),
            "run": {
                "id": run.run_id,
                "job": run.job_name,
                "url": None if base is None else f"{base}/runs/{run.run_id}",
                "attempts": 1 + (int(retries) if retries.isdecimal() else 0),
            },
        }
        if self.ending is Ending.FINISHED:
            partition = quote(key or "")
            asset = None if base is None else f"{base}/assets/{_RESULT.path[0]}?partition={partition}"
            data["result"] = {**_described(self._result(run) or {}), "url": asset}
            data["warnings"] = self._warnings(run)
        else:
            # Of a bug only where it is: its message may hold anything, and the log has it.
            found = explanation_of(run.run_id, self.instance)
            failure = {"class": found.failure, "message": found.sentence, "what_to_do": found.remedy}
            data |= {"failure": {**failure, "step": found.step}, "retry_follows": False}
        return Message(f"{run.run_id}.{self.ending.value}", self.ending.value, ended, data)

    def _result(self, run: dg.DagsterRun) -> Mapping[str, dg.MetadataValue] | None:
        """The metadata of the result that a run has made; None if it made none."""
        for record in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            made = record.asset_materialization
            if made is not None and made.asset_key == _RESULT:
                return made.metadata
        return None

    def _warnings(self, run: dg.DagsterRun) -> list[str]:
        """What the checks found to be less than good."""
        records = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [record.dagster_event.asset_check_evaluation_data for record in records if record.dagster_event]
        return [f"{check.check_name}: {check.description}" for check in found if not check.passed]


def _described(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    """Where the result lies, who encoded it, and every figure that the asset shows."""
    shown = {name: value.value for name, value in metadata.items()}
    figures = {name: value for name, value in shown.items() if isinstance(value, int | float) and math.isfinite(value)}
    return {**Record.of(metadata).model_dump(include={"path", "report", "encoder"}), "figures": figures}


def notification_sensor(ending: Ending, *, name: str, description: str) -> dg.SensorDefinition:
    """The sensor that delivers the runs which have ended in one way."""

    @dg.sensor(
        name=name,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"{description} Sends nothing unless DUALFACE_WEBHOOK_URL is set.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: VideoStore) -> dg.SkipReason:
        settings = WebhookSettings.load()
        webhook = Webhook.configured(settings)
        origin = context.code_location_origin
        notifier = Notifier(ending, context.instance, store, origin.location_name if origin else None)
        if webhook is None:
            context.update_cursor(notifier.head().model_dump_json())
            return dg.SkipReason("There is no recipient: DUALFACE_WEBHOOK_URL is not set.")
        position = (
            notifier.catch_up(Position.model_validate_json(context.cursor)) if context.cursor else notifier.head()
        )
        left, done = notifier.deliver(position.pending, webhook, settings.web_url, now=time.time())
        for line in done:
            context.log.info(line)
        context.update_cursor(position.model_copy(update={"pending": left}).model_dump_json())
        waiting = f"{len(left)} pending." if left else "Nothing to deliver."
        return dg.SkipReason(" ".join(done[:20]) or waiting)

    return sensor


video_finished = notification_sensor(
    Ending.FINISHED, name="video_finished", description="Notifies a webhook of every result that was published."
)
run_failed = notification_sensor(
    Ending.FAILED, name="run_failed", description="Notifies a webhook of every run that failed and is not tried again."
)
