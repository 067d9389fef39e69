from __future__ import annotations

import os
from pathlib import Path

import pytest

from dualface_core.engine.cores import CoreBudget

FOR_EVER = 1e9


def test_no_more_cores_are_held_than_there_are(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path / "run", cores=2)
    held = [budget.attempt(), budget.attempt()]
    assert all(held)
    assert CoreBudget(tmp_path / "run", cores=2).attempt() is None
    assert budget.in_use == 2
    assert held[0]
    held[0].release()
    assert CoreBudget(tmp_path / "run", cores=2).attempt()


def test_a_core_goes_to_who_has_waited_longest(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path / "run", cores=1)
    one, other = budget.turn(waits=FOR_EVER), budget.turn(waits=FOR_EVER)
    for first, second in ((one, other), (other, one), (one, other)):
        core = budget.attempt()
        assert core
        assert first.attempt() is None
        assert second.attempt() is None
        core.release()
        assert second.attempt() is None
        core = first.attempt()
        assert core
        core.release()
        second.withdraw()
    assert not list((tmp_path / "run" / "cores" / "waiting").iterdir())


def test_a_core_that_would_only_help_goes_to_who_takes_longest_unless_somebody_needs_it(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path / "run", cores=1)
    long, short, needing = (budget.turn(waits=FOR_EVER) for _ in range(3))
    held = budget.attempt()
    assert held
    assert long.attempt(left=100.0) is None
    assert short.attempt(left=99.0) is None
    held.release()
    core = needing.attempt()  # which has not waited
    assert core
    assert needing.attempt() is None
    core.release()
    assert long.attempt(left=98.5) is None
    needing.withdraw()
    assert long.attempt(left=98.5) is None
    core = short.attempt(left=98.8)
    assert core
    core.release()
    assert long.attempt(left=98.0)
    assert not list((tmp_path / "run" / "cores" / "waiting").iterdir())


def test_who_waits_and_is_silent_is_not_waited_for(tmp_path: Path) -> None:
    budget = CoreBudget(tmp_path / "run", cores=1)
    core = budget.attempt()
    assert core
    silent = budget.turn(waits=FOR_EVER)
    assert silent.attempt() is None
    core.release()
    (sign,) = (tmp_path / "run" / "cores" / "waiting").iterdir()
    os.utime(sign, (1e9, 1e9))
    assert budget.turn(waits=1.0).attempt()
    assert not sign.exists()


def test_a_folder_that_cannot_be_used_costs_no_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").write_text("not a folder")
    budget = CoreBudget(tmp_path / "run", cores=1)
    turn = budget.turn()
    assert [turn.attempt(), turn.attempt()] == [budget.attempt(), budget.attempt()]
    assert turn.attempt()
    assert "cores are not shared" in caplog.text
    assert len(caplog.records) == 1
