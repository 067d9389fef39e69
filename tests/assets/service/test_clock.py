from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dualface_assets.service import doctor
from dualface_assets.service.clock import WatchedClock, resume_sensors, ticks_ahead
from tests.dagster_internals import (
    InProcessCodeLocationOrigin,
    InProcessTestWorkspaceLoadTarget,
    LoadableTargetOrigin,
    create_test_daemon_workspace_context,
    execute_sensor_iteration,
    get_default_daemon_logger,
)

HOURS = 3 * 3600.0
SENSOR = """
import dagster as dg

@dg.sensor(minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def uploads():
    return dg.SkipReason("nothing new")

defs = dg.Definitions(sensors=[uploads])
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def test_sensors_go_on_after_the_clock_was_set_back(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "sensor.py").write_text(SENSOR)
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(python_file=str(tmp_path / "sensor.py")), location_name="dualface"
    )
    with create_test_daemon_workspace_context(InProcessTestWorkspaceLoadTarget(origin), instance) as workspace:

        def ticks() -> int:
            list(execute_sensor_iteration(workspace, get_default_daemon_logger("SensorDaemon"), None, None))
            (state,) = instance.all_instigator_state()
            return len(instance.get_ticks(state.instigator_origin_id, state.selector_id))

        assert ticks() == 1
        assert doctor.clock(instance).verdict == "good"
        (state,) = instance.all_instigator_state()
        later = time.time() + HOURS  # when the last tick was, before the clock was set back
        noted = state.sensor_instigator_data
        assert noted is not None
        instance.update_instigator_state(
            state.with_data(noted._replace(last_tick_timestamp=later, last_tick_start_timestamp=later))
        )
        assert ticks() == 1
        assert "3.0 hours ahead of the clock: uploads" in doctor.clock(instance).text
        assert resume_sensors(instance, time.time() - 1) == ["uploads"]
        assert ticks_ahead(instance, time.time()) == {}
        assert ticks() == 2


def test_a_clock_that_is_set_back_is_noticed_once() -> None:
    now = [1_000_000.0, 500.0]
    clock = WatchedClock(lambda: now[0], lambda: now[1])
    noticed = []
    for clock_moves, time_passes in ((1, 1), (-HOURS, 1), (1, 1), (HOURS, 1), (-1, 1)):
        now[0] += clock_moves
        now[1] += time_passes
        noticed.append(clock.was_set_back())
    assert noticed == [False, True, False, False, False]
