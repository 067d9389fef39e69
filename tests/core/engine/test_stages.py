from __future__ import annotations

from pathlib import Path

from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.stages import Stage, StageClock, time_line
from dualface_core.engine.workers import Workers
from tests.core.engine.tasks import burn, square

WORK = 0.2


def test_a_step_is_told_with_the_cpu_time_of_this_process_and_of_its_workers(tmp_path: Path) -> None:
    with Workers(CoreBudget(tmp_path / "run", cores=2)) as workers:
        list(workers.map(square, range(2)))
        clock = StageClock("track", workers)
        list(workers.map(burn, [WORK] * 3))
        burn(WORK)
        stage = clock.stop(100)
    assert stage.cpu_seconds >= 4 * WORK
    assert stage.seconds * stage.workers >= 3 * WORK
    assert stage.frames_per_second == 100 / stage.seconds
    assert stage.core_wait_seconds == 0.0


def test_tasks_in_this_process_are_counted_once(tmp_path: Path) -> None:
    with Workers(CoreBudget(tmp_path / "run", cores=1)) as workers:
        clock = StageClock("track", workers)
        list(workers.map(burn, [WORK]))
        stage = clock.stop(1)
    assert WORK <= stage.cpu_seconds < 2 * WORK
    assert 0 < stage.workers <= 1


def test_waiting_for_cores_that_others_have_is_told(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path / "run", cores=2)
    others = [budget.attempt(), budget.attempt()]
    with Workers(CoreBudget(tmp_path / "run", cores=2)) as workers:
        clock = StageClock("track", workers)
        list(workers.map(burn, [0.02] * 3))
        assert clock.stop(1).core_wait_seconds > 0
    assert all(others)


def test_one_line_says_where_the_time_of_several_videos_went() -> None:
    stages = [
        Stage(name="track", frames=100, seconds=1.0, cpu_seconds=1.5),
        Stage(name="render", frames=100, seconds=2.0, cpu_seconds=4.0, core_wait_seconds=0.5),
        Stage(name="track", frames=200, seconds=3.0, cpu_seconds=4.5),
        Stage(name="verify", frames=100, seconds=0.5, cpu_seconds=0.5, ahead_cpu_seconds=1.5),
    ]
    assert time_line(stages) == (
        "track 4.0 s (75 frames/s, 1.5 cores), render 2.0 s (50 frames/s, 2.0 cores), "
        "verify 0.5 s (200 frames/s, 1.0 cores; 1.5 CPU s before it began); 0.5 s of it for want of a core"
    )
    assert time_line([]) == ""
