"""The card that kernels are tested on."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from tests.core.compositing.emulated_card import AnyCard, EmulatedCard, real_card


@pytest.fixture(scope="session", params=["emulated", "real"])
def card(request: pytest.FixtureRequest, run_folder: Path) -> AnyCard:
    """What runs the kernels: a processor, and a card where there is one."""
    if request.param == "real":
        return real_card()
    with FileLock(run_folder / "kernels.lock"):
        return EmulatedCard(run_folder)
