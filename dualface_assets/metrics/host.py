"""Figures of one host: its NVENC sessions and its cores.

Belongs here: what slot files and counters of this host say, so that it needs neither database nor store. What a card
does in itself (load, memory, temperature) is told by NVIDIA's own exporter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from dualface_core.encoding.failures import EncoderError
from dualface_core.encoding.sessions import NvencSessions, SessionStatus
from dualface_core.engine.cores import CoreBudget
from dualface_core.settings import Settings

_COUNTED: Final = {
    "opened": "NVENC sessions that were given out",
    "refused": "NVENC sessions that the driver refused, since other programs had them",
    "failed": "NVENC sessions that met another failure",
    "abandoned": "NVENC sessions that were freed by the death of their process",
    "timed_out": "Waits for an NVENC session that ended without one",
}

_LOGGER: Final = logging.getLogger(__name__)


class HostMetrics(Collector):
    """Reads slot files and counters, at each scrape.

    Args:
        settings: name the runtime folder, and how many sessions and cores may be in use.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budget = CoreBudget(settings.runtime, cores=settings.cores)

    def collect(self) -> Iterable[Metric]:
        """All figures; without those of the sessions where the runtime folder cannot be used."""
        yield InfoMetricFamily("dualface_build", "The release", {"version": version("dualface")})
        yield GaugeMetricFamily("dualface_cores", "Cores that all videos of this host share", self._budget.cores)
        try:
            statuses = [sessions.status() for sessions in self._cards()]
            in_use = self._budget.in_use
        except (EncoderError, OSError) as error:
            _LOGGER.warning("the runtime folder cannot be read: %s", error)
        else:
            yield GaugeMetricFamily("dualface_cores_in_use", "Cores that videos keep busy", in_use)
            yield from _sessions(statuses)

    def _cards(self) -> Iterator[NvencSessions]:
        """Those cards that were ever asked for a session."""
        for folder in sorted(self._settings.runtime.glob("nvenc-*")):
            gpu = folder.name.removeprefix("nvenc-")
            yield NvencSessions(self._settings.runtime, gpu=gpu, limit=self._settings.nvenc_max_sessions)


def _sessions(statuses: list[SessionStatus]) -> Iterator[Metric]:
    now: dict[str, tuple[str, Callable[[SessionStatus], int]]] = {
        "dualface_nvenc_sessions": ("NVENC sessions in use", lambda status: len(status.holders)),
        "dualface_nvenc_sessions_limit": ("NVENC sessions that may be in use", lambda status: status.limit),
        "dualface_nvenc_sessions_waiting": ("Encodes that wait for a session", lambda status: status.waiting),
    }
    for name, (what, figure) in now.items():
        gauge = GaugeMetricFamily(name, what, labels=["gpu"])
        for status in statuses:
            gauge.add_metric([status.gpu], figure(status))
        yield gauge
    for name, what in _COUNTED.items():
        counter = CounterMetricFamily(f"dualface_nvenc_sessions_{name}", what, labels=["gpu"])
        for status in statuses:
            counter.add_metric([status.gpu], getattr(status.counters, name))
        yield counter
