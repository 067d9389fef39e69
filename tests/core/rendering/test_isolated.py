from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualface_core.encoding.failures import EncoderError, FailureClass, Reaction, SessionTimeoutError, reaction
from dualface_core.encoding.sessions import NvencSessions, RuntimeFolderError
from dualface_core.encoding.settings import EncoderSettings
from dualface_core.errors import DualfaceError, OutputError, TableFormatError, UnreadableVideoError
from dualface_core.media.packets import decoder_input
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.span_files import SpanFile
from dualface_core.rendering.isolated import nvenc_process, render_isolated
from dualface_core.rendering.messages import Job
from dualface_core.tables.tile_plan import TilePlan
from tests.core.rendering.still_scene import still_plan, still_video
from tests.nvenc_emulator import Card, EmulatedDriver
from tests.processes import children

Emulated = Callable[..., EmulatedDriver]
Scene = tuple[VideoInfo, TilePlan]
PATIENCE = 120.0


@pytest.fixture
def make_job(tmp_path: Path, scene: Scene) -> Callable[..., Job]:
    video, plan = scene
    plan.write(tmp_path / "plan.parquet")
    (tmp_path / "out").mkdir()

    def make(**given: object) -> Job:
        return Job.model_validate(
            {
                "video": video,
                "plan": tmp_path / "plan.parquet",
                "output": tmp_path / "out" / "a.mp4",
                "encoder": EncoderSettings(),
                "runtime": tmp_path / "run",
                "gpu": "0",
                "max_sessions": 2,
                "session_timeout": PATIENCE,
                **given,
            }
        )

    return make


def sessions(job: Job, *, timeout: float = 0.0) -> NvencSessions:
    return NvencSessions(job.runtime, gpu=job.gpu, limit=job.max_sessions, timeout=timeout)


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


def no_process_is_left() -> bool:
    return children() == []


class InBackground(threading.Thread):
    """Renders in a thread, and keeps what came of it."""

    def __init__(self, job: Job) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.result: object = None
        self.start()

    def run(self) -> None:
        try:
            self.result = render_isolated(self.job, stall_timeout=PATIENCE)
        except DualfaceError as error:
            self.result = error


def test_a_job_is_done_in_one_session_which_is_closed_at_the_end(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    driver = emulated()
    reported: list[int] = []
    done = render_isolated(make_job(), stall_timeout=PATIENCE, progress=reported.append)
    assert done.frames == probe(make_job().output).frame_count == 12
    assert reported == sorted(reported)
    assert reported[-1] == 12
    assert [event.name for event in driver.events() if event.name != "picture"] == ["opened", "configured", "closed"]
    assert sessions(make_job()).status().counters.closed == 1
    assert no_process_is_left()


def test_a_process_that_has_loaded_before_its_job_is_known_does_it_and_ends(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    driver = emulated()
    with nvenc_process(make_job().gpu) as process:
        (begun,) = children()
        render_isolated(make_job(), stall_timeout=PATIENCE, process=process)
        assert no_process_is_left()
    assert {event.pid for event in driver.events()} == {begun.pid}


def test_spans_that_are_wanted_lie_in_files_while_it_works_and_take_no_session(
    emulated: Emulated, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    driver = emulated()
    told: list[SpanFile] = []
    (tmp_path / "spans").mkdir()
    render_isolated(make_job(spans=tmp_path / "spans"), stall_timeout=PATIENCE, encoded=told.append)
    assert [(span.encoder, span.frames) for span in told] == [("h264_nvenc", 12)]
    assert [*decoder_input(probe(told[0].file))] == [*decoder_input(probe(make_job().output))]
    assert [event.name for event in driver.events() if event.name != "picture"] == ["opened", "configured", "closed"]


def test_where_the_card_can_compute_nothing_the_processor_draws_for_nvenc_and_why_is_said(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    emulated()
    done = render_isolated(make_job(on_card=True), stall_timeout=PATIENCE)
    assert done.frames == probe(make_job().output).frame_count == 12
    assert done.not_on_card is not None
    assert done.not_on_card.startswith("cu")  # the call of the driver that failed


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("error:20@5", FailureClass.ENCODE_FAILED),
        ("error:8@5", FailureClass.BAD_PARAM),
        ("error:10@CreateInputBuffer", FailureClass.VRAM_OOM),
        ("hang@5", FailureClass.STALLED),
        ("hang@OpenEncodeSessionEx", FailureClass.STALLED),
        ("hang@DestroyEncoder", FailureClass.STALLED),
        ("crash@5", FailureClass.CRASHED),
    ],
)
def test_a_failure_comes_back_with_its_class_and_leaves_neither_session_nor_process(
    emulated: Emulated, make_job: Callable[..., Job], fault: str, failure: FailureClass
) -> None:
    driver = emulated(fault=fault)
    with pytest.raises(EncoderError) as caught:
        render_isolated(make_job(), stall_timeout=2.0 if fault.startswith("hang") else PATIENCE)
    assert caught.value.failure is failure
    assert caught.value.encoder == "h264_nvenc"
    assert driver.open_now() == {}
    counters = sessions(make_job()).status().counters
    lost = failure in {FailureClass.STALLED, FailureClass.CRASHED}
    assert (counters.opened, counters.closed, counters.abandoned) == ((1, 0, 1) if lost else (1, 1, 0))
    assert counters.failed == (0 if lost or failure is FailureClass.BAD_PARAM else 1)
    assert no_process_is_left()


def test_what_a_dying_process_said_at_last_is_kept(emulated: Emulated, make_job: Callable[..., Job]) -> None:
    emulated(fault="nonsense")  # the emulated driver says so on standard error, and ends the process
    with pytest.raises(EncoderError) as caught:
        render_isolated(make_job(), stall_timeout=PATIENCE)
    assert caught.value.failure is FailureClass.CRASHED
    assert "ended with code 70" in str(caught.value)
    assert any("emulated NVENC driver" in line for line in caught.value.log)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda job, _: job.plan.unlink(), DualfaceError),
        (lambda job, _: job.output.parent.rmdir(), OutputError),
        (lambda job, _: job.video.path.write_bytes(b"no video"), UnreadableVideoError),
        (lambda job, scene: scene[1].write(job.plan), TableFormatError),
    ],
)
def test_errors_of_anything_else_come_back_as_what_they_are(
    emulated: Emulated,
    make_job: Callable[..., Job],
    scene: Scene,
    spoil: Callable[[Job, Scene], object],
    kind: type[DualfaceError],
) -> None:
    emulated()
    job = make_job()
    other = (scene[0], TilePlan(scene[1].table, scene[1].metadata.model_copy(update={"fingerprint": "f" * 64})))
    spoil(job, other)
    with pytest.raises(kind) as caught:
        render_isolated(job, stall_timeout=PATIENCE)
    assert not isinstance(caught.value, EncoderError)
    assert no_process_is_left()


def test_a_folder_for_the_slots_that_cannot_be_used_comes_back_as_a_reason_for_software(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    driver = emulated()
    job = make_job()
    job.runtime.mkdir()
    job.runtime.chmod(0o777)
    with pytest.raises(RuntimeFolderError, match="mode 777") as caught:
        render_isolated(job, stall_timeout=PATIENCE)
    assert reaction(caught.value.failure) is Reaction.SOFTWARE
    assert driver.events() == []


def test_a_bug_in_that_process_comes_back_with_its_traceback(
    emulated: Emulated, make_job: Callable[..., Job], scene: Scene
) -> None:
    emulated()
    job = make_job()
    TilePlan(scene[1].table.slice(0, 3), scene[1].metadata).write(job.plan)  # nothing in the program makes such a plan
    with pytest.raises(EncoderError) as caught:
        render_isolated(job, stall_timeout=PATIENCE)
    assert caught.value.failure is FailureClass.INTERNAL
    assert any("Traceback" in line for line in caught.value.log)


def test_an_outside_program_that_lets_go_in_time_costs_a_wait_and_no_failure(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    driver = emulated(sessions=1)
    with driver.outside_sessions(1):
        waiting = InBackground(make_job())
        driver.wait_for(lambda events: any(event.name == "refused" for event in events))
    waiting.join(PATIENCE)
    assert waiting.result.frames == 12
    assert waiting.result.waited > 0.4
    counters = sessions(make_job()).status().counters
    assert (counters.opened, counters.closed, counters.refused) == (1, 1, 1)


def test_an_outside_program_that_keeps_its_session_ends_the_wait(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    with emulated(sessions=1).outside_sessions(1), pytest.raises(EncoderError) as caught:
        render_isolated(make_job(session_timeout=0.2), stall_timeout=PATIENCE)
    assert caught.value.failure is FailureClass.SESSION_LIMIT
    assert not isinstance(caught.value, SessionTimeoutError)
    assert "Close other programs that encode on this GPU" in str(caught.value)


def test_the_third_waits_for_its_turn_and_is_told_who_is_in_the_way(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    driver = emulated()
    job = make_job(session_timeout=0.3)
    guard = sessions(job)
    with guard.acquire("interview.mp4"), guard.acquire("podcast.mp4"), pytest.raises(SessionTimeoutError) as caught:
        render_isolated(job, stall_timeout=PATIENCE)
    assert "'interview.mp4'" in str(caught.value)
    assert "'podcast.mp4'" in str(caught.value)
    assert driver.events() == []


def test_a_sibling_that_encodes_for_longer_than_the_timeout_is_waited_for(
    emulated: Emulated, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    driver = emulated(sessions=1, pace_ms=200)
    first = InBackground(make_job(max_sessions=1))
    driver.wait_for(lambda events: any(event.name == "opened" for event in events))
    job = make_job(max_sessions=1, session_timeout=1.5, output=tmp_path / "out" / "b.mp4")
    assert render_isolated(job, stall_timeout=PATIENCE).frames == 12
    first.join(PATIENCE)
    assert driver.most_open_at_once() == 1


def test_a_killed_encoder_frees_its_session_and_the_next_waiter_gets_it(
    emulated: Emulated, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    driver = emulated(sessions=1, fault="hang@5,once")
    first = InBackground(make_job(max_sessions=1))
    driver.wait_for(lambda events: any(event.name == "fault" for event in events))
    second = InBackground(make_job(max_sessions=1, output=tmp_path / "out" / "b.mp4"))
    until(lambda: sessions(make_job(max_sessions=1)).status().waiting == 1)
    (holder,) = sessions(make_job(max_sessions=1)).status().holders
    os.kill(holder.pid, signal.SIGKILL)
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert first.result.failure is FailureClass.CRASHED
    assert "killed by signal 9" in str(first.result)
    assert second.result.frames == 12
    assert driver.most_open_at_once() == 1
    assert not any(event.name == "refused" for event in driver.events())
    counters = sessions(make_job(max_sessions=1)).status().counters
    assert (counters.opened, counters.closed, counters.abandoned) == (2, 1, 1)


def test_an_encode_that_crashes_after_a_wait_says_how_long_it_waited(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    driver = emulated(fault="crash@5")
    job = make_job(max_sessions=1)
    with sessions(job).acquire("interview.mp4"):
        waiting = InBackground(job)
        until(lambda: sessions(job).status().waiting == 1)
        time.sleep(0.3)
    waiting.join(PATIENCE)
    assert waiting.result.failure is FailureClass.CRASHED
    assert waiting.result.waited >= 0.3
    assert driver.open_now() == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_the_caller_ends_the_process(
    emulated: Emulated, make_job: Callable[..., Job], error: type[BaseException]
) -> None:
    driver = emulated(fault="hang@5")

    def stop(_: int) -> None:
        if any(event.name == "fault" for event in driver.events()):
            raise error

    with pytest.raises(error):
        render_isolated(make_job(), stall_timeout=PATIENCE, progress=stop)
    assert no_process_is_left()
    assert driver.open_now() == {}


PARENT = """
import sys
from pathlib import Path
from dualface_core.rendering.isolated import render_isolated
from dualface_core.rendering.messages import Job
render_isolated(Job.model_validate_json(Path(sys.argv[1]).read_text()), stall_timeout=60)
"""


@pytest.mark.parametrize("fault", ["hang@5", "hang@InitializeEncoder", "hang@DestroyEncoder"])
def test_a_killed_parent_takes_the_process_its_session_and_its_file_with_it(
    emulated: Emulated, make_job: Callable[..., Job], tmp_path: Path, fault: str
) -> None:
    driver = emulated(fault=fault)
    job = make_job()
    (tmp_path / "job.json").write_text(job.model_dump_json())
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "job.json")])
    driver.wait_for(lambda events: any(event.name == "fault" for event in events))
    assert len(sessions(job).status().holders) == 1
    parent.kill()
    parent.wait()
    until(lambda: driver.open_now() == {})
    until(lambda: sessions(job).status().holders == ())
    if fault != "hang@DestroyEncoder":  # there the driver holds Python's lock
        assert list(job.output.parent.iterdir()) == []


def test_a_folder_of_videos_may_hold_anything(
    emulated: Emulated, make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulated()
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    assert render_isolated(make_job(), stall_timeout=PATIENCE).frames == 12


def test_a_driver_that_is_gone_since_it_was_tried_is_a_failure_like_any_other(
    emulated: Emulated, make_job: Callable[..., Job]
) -> None:
    emulated(card=Card.NO_DRIVER)
    with pytest.raises(EncoderError) as caught:
        render_isolated(make_job(), stall_timeout=PATIENCE)
    assert caught.value.failure is FailureClass.NO_DRIVER


def test_a_video_of_one_frame_is_done_before_its_file_is_there(
    emulated: Emulated, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    emulated()
    video = still_video(tmp_path / "one.mp4", [0])
    still_plan(video, [0]).write(tmp_path / "one.parquet")
    job = make_job(video=video, plan=tmp_path / "one.parquet")
    assert render_isolated(job, stall_timeout=PATIENCE).frames == 1
    assert probe(job.output).frame_count == 1
