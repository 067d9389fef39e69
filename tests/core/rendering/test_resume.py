"""A rendering that is killed goes on where it was when it is run again, and uses nothing that is not its own."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from mmap import mmap
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dualface_core import pipeline
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from dualface_core.errors import OutputError
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.rendering.finished_spans import FinishedSpan, Manifest
from dualface_core.settings import Settings
from dualface_core.system.kept_folders import kept_folder
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.fingerprints import FORM
from tests.core.made_tracks import split_plan
from tests.core.rendering.still_scene import SMALL, moving_plan, still_tracks, still_video

PTS = [300 * number + 7 * (number % 4) for number in range(40)]
"""Two uneven frames a second: five spans."""

MOMENTS = 20
"""At which a job is killed."""


@dataclass
class Killed:
    """When a process is to be killed, and how far it has come then.

    Attributes:
        frame: when so many frames are done; 0 for never.
        moment: at so manieth moment: each is a frame that is done, or something done to a file; 0 for never.
        so_far: frames that are done and moments that have passed, in memory that a forked process shares.
    """

    frame: int
    moment: int
    so_far: memoryview

    def render(self, folder: Path, settings: Settings, cores: int, kept: Path | None) -> None:
        """Render in this process, which is killed on the way."""
        sys.addaudithook(partial(self._see, str(folder)))
        with Workers(CoreBudget(folder / "run", cores=cores)) as workers:
            pipeline.render_with_software(
                pipeline.probe(folder / "still.mp4"),
                TilePlan.read(folder / "plan.parquet"),
                folder / "out.mp4",
                settings=settings,
                fingerprints=folder / "out.fingerprints",
                kept=kept,
                workers=workers,
                progress=self._tell,
            )

    def _see(self, folder: str, event: str, arguments: tuple[object, ...]) -> None:
        if event in {"open", "os.rename", "os.remove"} and str(arguments[0]).startswith(folder):
            self._pass()

    def _tell(self, done: int, _: int) -> None:
        self.so_far[0] = done
        self._pass()
        if done >= self.frame > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _pass(self) -> None:
        self.so_far[1] += 1
        if self.so_far[1] == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)


def render_and_be_killed(asked: Connection) -> None:
    """Render for each that comes, in a process that is forked from this one, which has loaded all and done nothing."""
    import_module("dualface_core.rendering.software")  # as `pipeline` does once it renders
    while job := asked.recv():
        frame, moment, *job = job
        with mmap(-1, 2) as shared, memoryview(shared) as so_far:
            if not (process := os.fork()):
                Killed(frame, moment, so_far).render(*job)
                os._exit(0)
            ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            asked.send((ended, *so_far))


@pytest.fixture(scope="module")
def killed() -> Iterator[Connection]:
    """Takes what `Killed` is made with and what it renders; gives the exit code, and the frames and moments so far."""
    ours, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(target=render_and_be_killed, args=(its,))
    process.start()
    yield ours
    ours.send(None)
    process.join()


class Job:
    """A rendering that can be killed."""

    def __init__(self, folder: Path, settings: Settings, killed: Connection) -> None:
        self.settings = settings
        self.video: VideoInfo = still_video(folder / "still.mp4", PTS, key_every=8)
        self.plan: TilePlan = moving_plan(self.video, PTS)
        self.plan.write(folder / "plan.parquet")
        self.output = folder / "out.mp4"
        self.prints = folder / "out.fingerprints"
        self._killed = killed

    def kill_at(self, frame: int = 0, *, moment: int = 0, cores: int = 1, kept: Path | None = None) -> tuple[int, int]:
        """Run it in a process of its own, which is killed on the way; to its end, if at no moment.

        Gives the frames that were done and the moments that had passed.
        """
        self._killed.send((frame, moment, self.output.parent, self.settings, cores, kept))
        ended, done, passed = self._killed.recv()
        assert ended == (-signal.SIGKILL if frame or moment else 0)
        return done, passed

    def run(self, progress: pipeline.Progress | None = None, kept: Path | None = None) -> str:
        """Run it to its end, and say how it was done."""
        return pipeline.render_with_software(
            self.video,
            self.plan,
            self.output,
            settings=self.settings,
            fingerprints=self.prints,
            kept=kept,
            workers=Workers(),
            progress=progress,
        ).backend.partition(".")[0]

    @property
    def result(self) -> tuple[bytes, bytes]:
        return self.output.read_bytes(), self.prints.read_bytes()

    @property
    def records(self) -> list[Path]:
        """What there is of finished spans."""
        return sorted(kept_folder(self.output).glob("span-*.json"))

    @property
    def left(self) -> list[str]:
        return [path.name for path in self.output.parent.glob(".dualface-*")]


@pytest.fixture
def job(tmp_path: Path, settings: Callable[..., Settings], killed: Connection) -> Job:
    return Job(tmp_path, settings(encoder="software", preset="ultrafast"), killed)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_job_that_is_killed_again_and_again_ends_with_the_result_of_one_that_was_not(job: Job, cores: int) -> None:
    job.run()
    uninterrupted = job.result
    job.output.unlink()
    chance, done = random.Random(cores), 0
    for _ in range(2):
        done, _ = job.kill_at(chance.randint(done + 1, len(PTS)), cores=cores)
        assert not job.output.exists()
        assert 8 * len(job.records) >= done - 8 * cores  # at most one span per process is lost
    finished = len(job.records)
    assert job.run() == f"cpu, 5 spans, {finished} of them from a killed run"
    assert job.result == uninterrupted
    assert job.left == []


def test_whenever_a_job_is_killed_a_span_is_lost_at_most_and_the_next_run_gives_the_same_result(job: Job) -> None:
    _, moments = job.kill_at()
    uninterrupted = job.result
    for moment in sorted(random.Random(0).sample(range(1, moments + 1), MOMENTS)):
        job.output.unlink(missing_ok=True)
        done, _ = job.kill_at(moment=moment)
        assert not job.output.exists() or job.result == uninterrupted
        assert 8 * len(job.records) >= done - 8 or job.output.exists()
        job.run()
        assert job.result == uninterrupted, f"after a kill at moment {moment} of {moments}"
        assert job.left == []


def change_plan(job: Job) -> None:
    job.plan = split_plan(still_tracks(job.video, PTS), job.plan.crop_windows + 1, layout=SMALL)


def change_setting(job: Job) -> None:
    job.settings = job.settings.overlaid(quality=21)


def change_video(job: Job) -> None:
    with job.video.path.open("ab") as file:
        file.write(b"free space")  # which no decoder minds
    job.video = probe(job.video.path)
    job.plan = moving_plan(job.video, PTS)


def change_form(job: Job) -> None:
    """Of the fingerprints, which an earlier version took otherwise."""
    manifest = Manifest.model_validate_json((kept_folder(job.output) / "manifest.json").read_bytes())
    assert manifest.fingerprints == FORM
    earlier = manifest.model_copy(update={"fingerprints": FORM - 1}).sha256
    for record in job.records:
        span = FinishedSpan.model_validate_json(record.read_bytes())
        record.write_text(span.model_copy(update={"manifest": earlier}).model_dump_json())


@pytest.mark.parametrize("change", [change_plan, change_setting, change_video, change_form])
def test_what_was_made_for_another_plan_setting_or_video_is_not_used(job: Job, change: Callable[[Job], None]) -> None:
    job.kill_at(25)
    assert len(job.records) == 3
    change(job)
    assert job.run() == "cpu, 5 spans"
    resumed = job.result
    job.run()
    assert job.result == resumed
    assert job.left == []


def test_spans_whose_files_are_damaged_are_made_again(job: Job) -> None:
    job.run()
    uninterrupted = job.result
    job.kill_at(33)
    cut, changed, gone, whole = job.records
    packets = FinishedSpan.model_validate_json(cut.read_bytes()).packets
    packets.write_bytes(packets.read_bytes()[:-1])
    prints = FinishedSpan.model_validate_json(changed.read_bytes()).fingerprints
    prints.write_bytes(bytes([prints.read_bytes()[0] ^ 1]) + prints.read_bytes()[1:])
    gone.unlink()
    assert whole.exists()
    assert job.run() == "cpu, 5 spans, 1 of them from a killed run"
    assert job.result == uninterrupted
    assert job.left == []


def test_a_job_that_makes_another_file_goes_on_in_a_folder_that_both_are_told(job: Job, tmp_path: Path) -> None:
    job.run()
    uninterrupted = job.result
    kept = tmp_path / "spans"
    job.kill_at(25, kept=kept)
    job.output, job.prints = tmp_path / "retry.mp4", tmp_path / "retry.fingerprints"
    assert job.run(kept=kept) == "cpu, 5 spans, 3 of them from a killed run"
    assert job.result == uninterrupted
    assert job.run(kept=kept) == "cpu, 5 spans, 5 of them from a killed run"  # so is one that is killed in a later step


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError("out.mp4", "the disk is full", action="Free some.")])
def test_a_job_that_is_stopped_or_fails_leaves_nothing(job: Job, error: BaseException) -> None:
    job.kill_at(20)

    def stop(done: int, total: int) -> None:
        if done > 30:
            raise error

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        job.run(stop)
    assert sorted(path.name for path in job.output.parent.glob(".*")) == []
