"""A rendering that is killed goes on where it was when it is run again, and uses nothing that is not its own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dualface_core import pipeline
from dualface_core.engine.workers import Workers
from dualface_core.errors import OutputError
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.rendering.finished_spans import FinishedSpan
from dualface_core.settings import Settings
from dualface_core.system.kept_folders import kept_folder
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import split_plan
from tests.core.rendering.still_scene import SMALL, moving_plan, still_tracks, still_video

PTS = [300 * number + 7 * (number % 4) for number in range(40)]
"""Two uneven frames a second: five spans."""

PROGRAM = """
import os, signal, sys
from pathlib import Path
from dualface_core import pipeline
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from dualface_core.errors import OutputError
from dualface_core.settings import Settings
from dualface_core.tables.tile_plan import TilePlan

def die(done, total):
    if done >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    folder, cores = Path(sys.argv[1]), int(sys.argv[3])
    with Workers(CoreBudget(folder / "run", cores=cores)) as workers:
        pipeline.render_with_software(
            pipeline.probe(folder / "still.mp4"),
            TilePlan.read(folder / "plan.parquet"),
            folder / "out.mp4",
            settings=Settings.model_validate_json(sys.argv[2]),
            fingerprints=folder / "out.fingerprints",
            kept=Path(sys.argv[5]) if sys.argv[5:] else None,
            workers=workers,
            progress=die,
        )
"""


class Job:
    """A rendering that can be killed."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.settings = settings
        self.video: VideoInfo = still_video(folder / "still.mp4", PTS, key_every=8)
        self.plan: TilePlan = moving_plan(self.video, PTS)
        self.plan.write(folder / "plan.parquet")
        self.output = folder / "out.mp4"
        self.prints = folder / "out.fingerprints"
        (folder / "program.py").write_text(PROGRAM)

    def kill_at(self, frame: int, *, cores: int = 1, kept: Sequence[Path] = ()) -> None:
        """Run it in a process of its own, which is killed when so many frames are done."""
        program = [str(self.output.with_name("program.py")), str(self.output.parent), self.settings.model_dump_json()]
        command = [sys.executable, *program, str(cores), str(frame), *map(str, kept)]
        environment = os.environ | {"PYTHONPATH": str(Path(pipeline.__file__).parents[1])}
        ended = subprocess.run(command, check=False, env=environment)
        assert ended.returncode == -signal.SIGKILL

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
def job(tmp_path: Path, settings: Callable[..., Settings]) -> Job:
    return Job(tmp_path, settings(encoder="software", preset="ultrafast"))


@pytest.mark.parametrize(("seed", "cores"), [(1, 1), (2, 1), (3, 2)])
def test_a_job_that_is_killed_again_and_again_ends_with_the_result_of_one_that_was_not(
    job: Job, seed: int, cores: int
) -> None:
    job.run()
    uninterrupted = job.result
    job.output.unlink()
    chance = random.Random(seed)
    done = 0
    for _ in range(2):
        done = chance.randint(done + 1, len(PTS))
        job.kill_at(done, cores=cores)
        assert not job.output.exists()
        assert 8 * len(job.records) >= done - 8 * cores  # at most one span per process is lost
    finished = len(job.records)
    assert job.run() == f"cpu, 5 spans, {finished} of them from a killed run"
    assert job.result == uninterrupted
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


@pytest.mark.parametrize("change", [change_plan, change_setting, change_video])
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
    job.kill_at(25, kept=[kept])
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
