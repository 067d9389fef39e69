"""Figures of the instance: its queue, how runs end, how fast the stages are, and how old what waits is.

Belongs here: what the records of Dagster say. What is there now is counted by indexed queries. What has happened is
read from the event log behind a cursor, so many events per scrape: counters begin at 0 with this process, which asks
once when it starts, as Prometheus expects. A scrape takes the same number of queries however much there ever was.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

import dagster as dg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dualface_assets.assets.metadata import Record
from dualface_assets.runs.failures import explanation_of, failure_classes
from dualface_assets.runs.in_use import ACTIVE
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import oldest_upload

_PER_SCRAPE: Final = 100
"""Events of a kind. Where more have happened, the next scrapes catch up."""

_EndOfRun = Literal[dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED]
_ENDS: Final[Mapping[str, _EndOfRun]] = {
    "success": dg.DagsterEventType.RUN_SUCCESS,
    "failure": dg.DagsterEventType.RUN_FAILURE,
    "canceled": dg.DagsterEventType.RUN_CANCELED,
}
_TIMED: Final = (dg.AssetKey("face_tracks"), dg.AssetKey("encoded_video"))
"""The assets whose records say how long their stages took."""

_WAITS: Final = {
    "queued": dg.DagsterRunStatus.QUEUED,
    "starting": dg.DagsterRunStatus.STARTING,
}

_PATIENCE: Final = 5.0
"""Seconds for which a scrape waits for one before it. Prometheus itself waits for ten."""

_STAGE_FIGURES: Final = {
    "frames": "Frames that a stage went through",
    "seconds": "Seconds that a stage took",
    "cpu_seconds": "Seconds of processors that a stage took",
    "ahead_cpu_seconds": "Seconds of processors that a stage took before it began",
}

_LOGGER: Final = logging.getLogger(__name__)


class InstanceMetrics(Collector):
    """Asks the instance, at each scrape.

    Args:
        opened: opens the instance. It is called again until it succeeds, so its database may be down at first.
        store: where uploads wait.
    """

    def __init__(self, opened: Callable[[], dg.DagsterInstance], store: VideoStore) -> None:
        self._opened = opened
        self._store = store
        self._instance: dg.DagsterInstance | None = None
        self._history: _History | None = None
        self._turn = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """All figures. Where the database does not answer, no gauge of it is there, and counters stay as they were."""
        yield from self._asked()
        yield _gauge(
            "dualface_oldest_upload_timestamp_seconds",
            "When the oldest upload that has no run yet was dropped, or taken out of the inbox",
            oldest_upload(self._store),
        )

    def _asked(self) -> list[Metric]:
        """What the instance answers."""
        if not self._turn.acquire(timeout=_PATIENCE):  # another scrape is still waiting for the database
            return [_up(answers=False)]
        try:
            instance = self._instance = self._instance or self._opened()
            self._history = self._history or _History(instance)
            self._history.catch_up(instance)
            found = [_up(answers=True), *_now(instance)]
        except Exception as error:  # noqa: BLE001  each kind of storage has errors of its own
            # Their text may hold the address of the database, with its password.
            _LOGGER.warning("the instance does not answer (%s)", type(error).__name__)
            found = [_up(answers=False)]
        finally:
            self._turn.release()
        return [*found, *(self._history.metrics() if self._history else ())]


def _up(*, answers: bool) -> Metric:
    return GaugeMetricFamily("dualface_instance_up", "Whether the database of the instance answers", answers)


def _gauge(name: str, what: str, value: float | None) -> GaugeMetricFamily:
    """A gauge that is not there if there is nothing to say."""
    gauge = GaugeMetricFamily(name, what)
    if value is not None:
        gauge.add_metric([], value)
    return gauge


def _now(instance: dg.DagsterInstance) -> Iterator[Metric]:
    """What is there at this moment."""
    runs = GaugeMetricFamily("dualface_runs", "Runs that are not over, by state", labels=["state"])
    for status in ACTIVE:
        runs.add_metric([status.value.lower()], instance.get_runs_count(dg.RunsFilter(statuses=[status])))
    yield runs
    since = GaugeMetricFamily(
        "dualface_oldest_run_timestamp_seconds", "Since when the oldest run of a state has been in it", labels=["state"]
    )
    for state, status in _WAITS.items():
        for record in instance.get_run_records(dg.RunsFilter(statuses=[status]), limit=1, ascending=True):
            # A run that has been handed out is changed no more until it begins.
            began = record.create_timestamp if status is dg.DagsterRunStatus.QUEUED else record.update_timestamp
            since.add_metric([state], began.timestamp())
    yield since
    beats = GaugeMetricFamily(
        "dualface_daemon_heartbeat_timestamp_seconds",
        "When a part of the daemon last said that it lives",
        labels=["part"],
    )
    last = instance.get_daemon_heartbeats()
    for part in sorted(instance.get_required_daemon_types()):
        beats.add_metric([part.lower()], last[part].timestamp if part in last else 0.0)
    yield beats


class _History:
    """What has happened since the first scrape."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        newest = instance.event_log_storage.get_maximum_record_id() or 0
        self._runs = dict.fromkeys(_ENDS, newest)
        self._made = dict.fromkeys(_TIMED, newest)
        self._ended = Counter(dict.fromkeys(_ENDS, 0))
        self._failures = Counter(dict.fromkeys(failure_classes(), 0))
        self._verified = Counter[str]()
        self._fallbacks = 0
        self._stages: dict[str, dict[str, float]] = {}
        before = instance.fetch_materializations(dg.AssetKey("encoded_video"), limit=1).records
        self._last_verified = before[0].timestamp if before else None

    def catch_up(self, instance: dg.DagsterInstance) -> None:
        """Count what has happened since the last time, each event once, however this ends."""
        for state, kind in _ENDS.items():
            ended = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=self._runs[state])
            for event in instance.fetch_run_status_changes(ended, limit=_PER_SCRAPE, ascending=True).records:
                if state == "failure":
                    self._failures[explanation_of(event.run_id, instance).failure] += 1
                self._ended[state] += 1
                self._runs[state] = event.storage_id
        for asset, seen in self._made.items():
            made = dg.AssetRecordsFilter(asset, after_storage_id=seen)
            for event in instance.fetch_materializations(made, limit=_PER_SCRAPE, ascending=True).records:
                if event.asset_materialization:
                    self._count(Record.of(event.asset_materialization.metadata))
                if asset.path == ["encoded_video"]:
                    self._last_verified = event.timestamp
                self._made[asset] = event.storage_id

    def _count(self, record: Record) -> None:
        for stage in record.stages:
            counted = self._stages.setdefault(stage.name, dict.fromkeys(_STAGE_FIGURES, 0.0))
            for figure in counted:
                counted[figure] += getattr(stage, figure)
        if record.encoder:
            self._verified[record.encoder] += 1
            self._fallbacks += record.fallback

    def metrics(self) -> Iterator[Metric]:
        """All counters, and when the last video was verified."""
        yield _counter("dualface_runs_ended", "Runs that have ended", "state", self._ended)
        yield _counter(
            "dualface_run_failures", "Runs that have failed, by the class of failure", "failure", self._failures
        )
        yield _counter(
            "dualface_videos_verified", "Results that were verified and published", "encoder", self._verified
        )
        yield CounterMetricFamily("dualface_fallbacks", "Results of software in place of NVENC", self._fallbacks)
        for figure, what in _STAGE_FIGURES.items():
            by_stage = {stage: counted[figure] for stage, counted in self._stages.items()}
            yield _counter(f"dualface_stage_{figure}", what, "stage", by_stage)
        yield _gauge(
            "dualface_last_verified_timestamp_seconds",
            "When a video was last verified and published",
            self._last_verified,
        )


def _counter(name: str, what: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    counter = CounterMetricFamily(name, what, labels=[label])
    for value, number in sorted(values.items()):
        counter.add_metric([value], number)
    return counter
