import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from dualface_assets.assets.metadata import Record
from dualface_assets.notifications import notifier as module
from dualface_assets.notifications.notifier import EXPIRES_AFTER, Ending, Notifier, Position, run_failed, video_finished
from dualface_assets.notifications.webhook import Webhook
from dualface_assets.runs.failures import as_failure
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import add
from dualface_core.encoding.failures import EncoderError, FailureClass
from dualface_core.errors import NobodyFoundError, OutputError
from tests.webhook_receiver import Receiver, receiving

CORRUPT = NobodyFoundError("a.mp4", "no face was found", action="Choose another video.")
BUG = RuntimeError("a bug")
DISK_FULL = OutputError("a.mp4", "the disk is full", action="Free some space.")

Tick = Callable[[dg.SensorDefinition], str]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("DUALFACE_WEBHOOK_URL", receiver.url)
        yield receiver


@pytest.fixture
def tick(instance: dg.DagsterInstance, store: VideoStore) -> Tick:
    """Let a sensor look, as the daemon does every few seconds; what it says of it. Both have looked once before."""
    cursors: dict[str, str | None] = {}

    def tick(sensor: dg.SensorDefinition) -> str:
        context = dg.build_sensor_context(instance, cursor=cursors.get(sensor.name), resources={"store": store})
        said = sensor(context)
        cursors[sensor.name] = context.cursor
        assert isinstance(said, dg.SkipReason)
        return str(said.skip_message)

    for sensor in (run_failed, video_finished):
        tick(sensor)
    return tick


@pytest.fixture
def key(instance: dg.DagsterInstance, store: VideoStore, tmp_path: Path) -> str:
    (tmp_path / "My talk.mp4").write_bytes(b"a video")
    key = add(store, tmp_path / "My talk.mp4").key
    instance.add_dynamic_partitions("videos", [key])
    return key


def a_result(key: str, instance: dg.DagsterInstance) -> str:
    """A run that makes `encoded_video`; its id."""

    @dg.asset(partitions_def=videos, check_specs=[dg.AssetCheckSpec("people", asset="encoded_video")])
    def encoded_video() -> dg.MaterializeResult:
        people = dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="B is rarely seen.")
        shown = {"path": "as a person sees it", "encoder": "likewise", "frames": 54, "share": float("nan")}
        record = Record(path="/store/a.mp4", encoder="x")
        return dg.MaterializeResult(metadata={**shown, **record.entry()}, check_results=[people])

    return dg.materialize([encoded_video], instance=instance, partition_key=key).run_id


def a_failure(error: Exception, instance: dg.DagsterInstance, *, retries: int = 0, **tags: str) -> str:
    """A run that fails; its id."""

    @dg.op
    def probe(context: dg.OpExecutionContext) -> None:
        with as_failure(context):
            raise error

    @dg.job(tags={"dagster/max_retries": str(retries), **tags})
    def job() -> None:
        probe()

    return job.execute_in_process(instance=instance, raise_on_error=False).run_id


def test_a_finished_video_is_told_with_its_figures(
    receiver: Receiver, tick: Tick, key: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALFACE_WEB_URL", "https://videos.example.com/dagster/")
    run_id = a_result(key, instance)
    assert tick(video_finished) == f"Delivered run {run_id} to {receiver.url.removesuffix('/hook')}."
    (request,) = receiver.requests
    assert request.headers["webhook-id"] == f"{run_id}.video.finished"
    assert request.document["type"] == "video.finished"
    base = "https://videos.example.com/dagster"
    assert request.document["data"] == {
        "key": key,
        "name": "My talk.mp4",
        "run": {"id": run_id, "job": "__ephemeral_asset_job__", "url": f"{base}/runs/{run_id}", "attempts": 1},
        "result": {
            "path": "/store/a.mp4",
            "report": None,
            "encoder": "x",
            "figures": {"frames": 54},
            "url": f"{base}/assets/encoded_video?partition={key}",
        },
        "warnings": ["people: B is rarely seen."],
    }
    assert tick(video_finished) == "Nothing to deliver."
    assert len(receiver.requests) == 1


def test_a_permanent_failure_is_told_with_what_to_do(
    receiver: Receiver, tick: Tick, key: str, instance: dg.DagsterInstance
) -> None:
    run_id = a_failure(CORRUPT, instance, retries=1, **{"dagster/partition": key})
    tick(run_failed)
    (request,) = receiver.requests
    assert request.document["type"] == "run.failed"
    assert request.document["data"] == {
        "key": key,
        "name": "My talk.mp4",
        "run": {"id": run_id, "job": "job", "url": None, "attempts": 1},
        "failure": {
            "class": "nobody-found",
            "message": "a.mp4: no face was found. Choose another video.",
            "what_to_do": "Choose another video.",
            "step": "probe",
        },
        "retry_follows": False,
    }


@pytest.mark.parametrize("error", [DISK_FULL, BUG], ids=["after a pause", "at once"])
def test_a_failure_that_is_tried_again_is_not_the_end(
    error: Exception, receiver: Receiver, tick: Tick, instance: dg.DagsterInstance
) -> None:
    run_id = a_failure(error, instance, retries=1)
    assert tick(run_failed) == "1 pending."
    instance.add_run_tags(run_id, {"dagster/auto_retry_run_id": "the retry"})
    assert tick(run_failed) == "Nothing to deliver."
    assert receiver.requests == []


def test_a_retry_that_could_not_be_started_is_the_end(
    receiver: Receiver, tick: Tick, instance: dg.DagsterInstance
) -> None:
    run_id = a_failure(BUG, instance, retries=1)
    tick(run_failed)
    instance.add_run_tags(run_id, {"dagster/will_retry": "false"})  # as the daemon does
    tick(run_failed)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [f"{run_id}.run.failed"]


def test_a_retry_that_never_comes_is_not_waited_for_for_ever(
    receiver: Receiver, tick: Tick, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_failure(BUG, instance, retries=1)
    monkeypatch.setattr(module, "RETRY_EXPECTED_WITHIN", 0)
    tick(run_failed)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        EncoderError(FailureClass.STALLED, encoder="h264_nvenc", reason="No frame for 60 s."),
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("a bug"),
    ],
    ids=["encoder", "machine", "bug"],
)
def test_what_is_told_of_the_end_promises_no_other_try(
    error: Exception, receiver: Receiver, tick: Tick, instance: dg.DagsterInstance
) -> None:
    a_failure(error, instance)
    tick(run_failed)
    (request,) = receiver.requests
    assert request.document["data"]["retry_follows"] is False
    failure = request.document["data"]["failure"]
    assert failure["what_to_do"]
    for promise in ("by itself", "tried", "once more"):
        assert promise not in f"{failure['message']} {failure['what_to_do']}"


def test_of_a_bug_only_the_place_is_told(receiver: Receiver, tick: Tick, instance: dg.DagsterInstance) -> None:
    a_failure(RuntimeError("password: xyzzy"), instance)
    tick(run_failed)
    (request,) = receiver.requests
    assert request.document["data"]["failure"]["class"] == "bug"
    assert b"xyzzy" not in request.body


def test_a_run_that_was_killed_is_told_with_what_dagster_knows(
    receiver: Receiver, tick: Tick, instance: dg.DagsterInstance
) -> None:
    run = instance.add_run(dg.DagsterRun("process_video", status=dg.DagsterRunStatus.STARTED))
    instance.report_run_failed(run, "The process that worked on this run is gone.")
    tick(run_failed)
    failure = receiver.requests[0].document["data"]["failure"]
    assert (failure["class"], failure["message"]) == ("interrupted", "The process that worked on this run is gone.")


def test_what_a_person_makes_by_hand_on_the_way_to_a_result_is_not_told(
    receiver: Receiver, tick: Tick, key: str, instance: dg.DagsterInstance
) -> None:
    @dg.asset(partitions_def=videos)
    def face_tracks() -> None: ...

    dg.materialize([face_tracks], instance=instance, partition_key=key)
    assert tick(video_finished) == "Nothing to deliver."
    assert receiver.requests == []


def test_a_receiver_that_is_down_is_told_later_and_with_the_same_id(
    receiver: Receiver, tick: Tick, key: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_BACK_OFF", 0.0)
    run_id = a_result(key, instance)
    receiver.status = 503
    assert "answered 503" in tick(video_finished)
    receiver.status = 200
    assert tick(video_finished).startswith("Delivered ")
    assert [request.headers["webhook-id"] for request in receiver.requests] == [f"{run_id}.video.finished"] * 2


@pytest.fixture
def notifier(instance: dg.DagsterInstance, store: VideoStore) -> Notifier:
    return Notifier(Ending.FINISHED, instance, store, location=None)


def test_pauses_grow_and_after_a_day_it_is_given_up(
    receiver: Receiver, notifier: Notifier, key: str, instance: dg.DagsterInstance
) -> None:
    start = notifier.head()
    run_id = a_result(key, instance)
    pending = notifier.catch_up(start).pending
    receiver.status = 500
    webhook = Webhook(receiver.url)
    now = begin = pending[0].ended
    pauses = []
    while pending:
        pending, done = notifier.deliver(pending, webhook, None, now=now)
        if pending:
            assert notifier.deliver(pending, webhook, None, now=pending[0].due - 1) == (pending, [])
            pauses.append(pending[0].due - now)
            now = pending[0].due
    assert pauses[:9] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert set(pauses[9:]) == {3600}
    assert now - begin > EXPIRES_AFTER
    assert done == [f"Gave up on run {run_id} after {len(pauses)} attempts."]
    assert len(receiver.requests) == len(pauses)


def test_where_nobody_answers_nothing_else_is_tried_and_what_is_refused_holds_up_nothing(
    receiver: Receiver, notifier: Notifier, key: str, instance: dg.DagsterInstance
) -> None:
    start = notifier.head()
    for _ in range(3):
        a_result(key, instance)
    pending = notifier.catch_up(start).pending
    now = pending[-1].ended
    left, _ = notifier.deliver(pending, Webhook("http://127.0.0.1:1/"), None, now=now)
    assert [waiting.attempts for waiting in left] == [1, 0, 0]
    receiver.status = 400
    left, _ = notifier.deliver(pending, Webhook(receiver.url), None, now=now)
    assert [waiting.attempts for waiting in left] == [1, 1, 1]


def test_what_there_is_no_room_for_is_told_later(
    receiver: Receiver, notifier: Notifier, key: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_PENDING", 2)
    position = notifier.head()
    runs = [a_result(key, instance) for _ in range(3)]
    position = notifier.catch_up(position)
    assert [waiting.run_id for waiting in position.pending] == runs[:2]
    assert notifier.catch_up(position) == position
    position = notifier.catch_up(Position(seen=position.seen, pending=[]))
    assert [waiting.run_id for waiting in position.pending] == runs[2:]


def test_runs_of_another_code_location_are_its_own_business(
    receiver: Receiver, key: str, instance: dg.DagsterInstance, store: VideoStore
) -> None:
    notifier = Notifier(Ending.FINISHED, instance, store, location="elsewhere")
    start = notifier.head()
    a_result(key, instance)
    assert notifier.deliver(notifier.catch_up(start).pending, Webhook(receiver.url), None, now=0) == ([], [])
    assert receiver.requests == []


def test_without_a_webhook_nothing_is_kept_for_later(
    tick: Tick, key: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_result(key, instance)
    assert tick(video_finished) == "There is no recipient: DUALFACE_WEBHOOK_URL is not set."
    with receiving() as receiver:
        monkeypatch.setenv("DUALFACE_WEBHOOK_URL", receiver.url)
        assert tick(video_finished) == "Nothing to deliver."
    assert receiver.requests == []
