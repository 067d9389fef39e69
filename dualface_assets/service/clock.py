"""A clock that is set back: what Dagster (1.13) would wait for, and how to have it go on.

Belongs here: noticing it, and putting right what the instance has noted in the future. A sensor ticks when its interval
has passed since its last tick, by the clock, so after a clock was set back by three hours it would rest for three; and
the daemon's own loops wait as long, so the daemon has to be started again. No issue of Dagster's is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import dagster as dg

TOLERATED: Final = 5.0
"""Seconds. By less than that a clock is set back all the time, without any harm."""

_TIMES: Final = ("last_tick_timestamp", "last_tick_start_timestamp", "last_tick_success_timestamp")


class WatchedClock:
    """Notices that the clock of this machine was set back.

    Args:
        clock: seconds since the epoch, which can be set.
        monotonic: seconds, which cannot.
    """

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._before = clock() - monotonic()

    def was_set_back(self) -> bool:
        """Whether it was since the last time that this was asked."""
        before, self._before = self._before, self._clock() - self._monotonic()
        return before - self._before > TOLERATED


def ticks_ahead(instance: dg.DagsterInstance, now: float) -> dict[str, float]:
    """Sensors whose last tick lies in the future, and by how many seconds."""
    states = {state.instigator_name: state.sensor_instigator_data for state in instance.all_instigator_state()}
    ahead = {name: max(getattr(noted, kind) or 0.0 for kind in _TIMES) - now for name, noted in states.items() if noted}
    return {name: seconds for name, seconds in ahead.items() if seconds > TOLERATED}


def resume_sensors(instance: dg.DagsterInstance, now: float) -> list[str]:
    """Have sensors tick whose last tick lies in the future. Gives their names."""
    ahead = ticks_ahead(instance, now)
    for state in instance.all_instigator_state():
        if state.instigator_name in ahead and (noted := state.sensor_instigator_data):
            times = {kind: min(at, now) for kind in _TIMES if (at := getattr(noted, kind))}
            instance.update_instigator_state(state.with_data(noted._replace(**times)))
    return sorted(ahead)
