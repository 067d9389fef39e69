from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import pytest

from tests.end_to_end.running_instance import Host, RunningInstance, running
from tests.nvenc_emulator.driver import EmulatedDriver
from tests.nvenc_emulator.libraries import build, why_unavailable


@dataclass(frozen=True)
class Hosts:
    """Machines on which NVENC works, fails at the 25th picture, or encodes noise and reports success."""

    healthy: Host
    failing: Host
    hanging: Host
    crashing: Host
    noisy: Host
    nvenc_only: Host


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    if reason := why_unavailable():
        pytest.skip(reason)
    build()
    folder = tmp_path_factory.mktemp("hosts")

    def host(name: str, *, fault: str | None = None, pace_ms: int = 0, **settings: str) -> Host:
        driver = EmulatedDriver(folder / name / "card", fault=fault, pace_ms=pace_ms)
        (folder / name).mkdir()
        return Host(name, folder / name, driver, {f"DUALFACE_{key}": value for key, value in settings.items()})

    return Hosts(
        healthy=host("healthy", pace_ms=20, STALL_TIMEOUT="600"),
        failing=host("failing", fault="error:20@25", SESSION_TIMEOUT="3"),
        hanging=host("hanging", fault="hang@25", STALL_TIMEOUT="5"),
        crashing=host("crashing", fault="crash@25"),
        noisy=host("noisy", fault="noise@20-25"),
        nvenc_only=host("nvenc-only", fault="error:20@25", SOFTWARE_FALLBACK="false"),
    )


@pytest.fixture(scope="session")
def running_instance(tmp_path_factory: pytest.TempPathFactory, hosts: Hosts) -> Iterator[RunningInstance]:
    """One daemon for all of them. It takes seconds to start, so there is one for all tests."""
    everyone = [getattr(hosts, field.name) for field in fields(hosts)]
    with running(tmp_path_factory.mktemp("instance"), everyone) as instance:
        yield instance
