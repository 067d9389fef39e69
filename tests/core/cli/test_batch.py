from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from dualface_core import pipeline
from dualface_core.cli.batch import Batch
from dualface_core.cli.inputs import Job
from dualface_core.cli.show import Outcome
from dualface_core.cli.video_processes import VideoProcesses
from dualface_core.cli.worker import NotMade, Task, work
from dualface_core.engine.card import CardAccess
from dualface_core.engine.workers import Workers
from dualface_core.settings import Settings
from tests.conftest import SampleClip
from tests.processes import children


def batch(*videos: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dualface_core.cli", "run", *map(str, videos), "--json", "--streams", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def worker(of: subprocess.Popen[str]) -> psutil.Process:
    """The process that works on the videos, as soon as there is one."""
    while of.poll() is None:
        for child in psutil.Process(of.pid).children():
            if "dualface_core.cli.worker" in child.cmdline():
                return child
        time.sleep(0.01)
    raise AssertionError("no process has begun")


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (signal.SIGABRT, "native code crashed while it was worked on (SIGABRT"),
        (signal.SIGKILL, "its process was killed (SIGKILL), as the kernel does when memory runs out"),
    ],
)
def test_a_crash_is_told_with_its_video_and_the_batch_goes_on(
    sample_clip: SampleClip, tmp_path: Path, ending: signal.Signals, said: str
) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    first.write_bytes(sample_clip("talk").read_bytes())  # takes longer than it takes to find its process
    second.write_bytes(b"\0 no video")
    with batch(first, second) as process:
        worker(process).send_signal(ending)
        out, err = process.communicate()
    assert process.returncode == 1
    crashed, refused = json.loads(out)
    assert crashed["error"].startswith(f"{first}: {said}")
    assert "not a video" in refused["error"]
    assert f"dualface: {first}: {said}" in err


def test_a_batch_that_is_ended_leaves_nothing(sample_clip: SampleClip, tmp_path: Path) -> None:
    videos = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for video in videos:
        video.write_bytes(sample_clip("talk").read_bytes())
    with batch(*videos) as process:
        child = worker(process)
        process.terminate()  # as Ctrl-C does, which a test started in the background may ignore
        process.communicate()
    assert process.returncode not in {0, 2}
    child.wait(60)  # it ends by itself, if it was begun in that moment
    assert sorted(tmp_path.iterdir()) == videos


def test_a_batch_that_is_ended_while_it_hands_out_videos_leaves_nothing(
    sample_clip: SampleClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for video in videos:
        video.write_bytes(sample_clip("talk").read_bytes())
    hand_out = ThreadPoolExecutor.submit

    def interrupted(
        pool: ThreadPoolExecutor, work: Callable[..., Outcome], job: Job, *others: object
    ) -> Future[Outcome]:
        if job.video == videos[1]:
            raise KeyboardInterrupt
        return hand_out(pool, work, job, *others)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    jobs = [Job(video, video.with_suffix(".split.mp4")) for video in videos]
    with pytest.raises(KeyboardInterrupt), VideoProcesses() as processes:
        Batch(Settings(streams=1), Workers(), processes, keep_load=False, review=False, debug=False).run(jobs)
    assert sorted(tmp_path.iterdir()) == videos


def test_processes_for_videos_begin_early_are_kept_for_the_next_one_and_end_in_the_end() -> None:
    with VideoProcesses() as processes:
        processes.begin(2)
        begun = children()
        with processes.one(), processes.one():
            assert children() == begun
            with processes.one():
                assert len(children()) == 3
        with pytest.raises(InterruptedError), processes.one():
            raise InterruptedError  # what it was at work on may have left anything
        assert len(children()) == 2
    assert children() == []


def test_tasks_of_a_video_that_came_later_wait_behind_those_of_earlier_ones(tmp_path: Path) -> None:
    card = CardAccess(folder=tmp_path, processes=1, threads=1, memory=1)
    with pipeline.workers_of_batch(Settings(runtime=tmp_path), card) as workers:
        for place in (2, 3):
            task = Task(
                video=tmp_path / "missing.mp4",
                output=tmp_path / "out.mp4",
                settings=Settings(runtime=tmp_path),
                keep_load=False,
                review=False,
                card=card,
                place=place,
            )
            again = Task.model_validate_json(task.model_dump_json())
            assert isinstance(work(workers, again, lambda *_: None), NotMade)
            assert (workers.place, workers.card) == (place, card)
