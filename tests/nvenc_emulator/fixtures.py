"""The pytest fixture `emulated_driver`, for every folder of tests.

Registered by the line `pytest_plugins = ["tests.nvenc_emulator.fixtures"]` in `tests/conftest.py`. Tests that use it
get the marker `emulator`, and are skipped with the reason where the emulator can't be built.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.nvenc_emulator.driver import EmulatedDriver
from tests.nvenc_emulator.libraries import build, why_unavailable


@pytest.fixture
def emulated_driver(tmp_path: Path) -> Callable[..., EmulatedDriver]:
    """Return a function that makes drivers of one emulated host; it takes `EmulatedDriver`'s settings.

    Drivers made in the same test are on the same host: they share sessions, one-time faults and the log.
    """
    if reason := why_unavailable():
        pytest.skip(reason)
    build()
    return partial(EmulatedDriver, tmp_path / "emulated-host")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "emulated_driver" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.emulator)
