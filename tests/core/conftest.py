from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from dualface_core.engine.card import CardProcesses
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from tests.core.compositing.emulated_card import AnyCard, EmulatedCard, real_card


@pytest.fixture(scope="session", params=["emulated", "real"])
def card(request: pytest.FixtureRequest, run_folder: Path) -> AnyCard:
    """What runs the kernels: a processor, and a card where there is one."""
    if request.param == "real":
        return real_card()
    with FileLock(run_folder / "kernels.lock"):
        return EmulatedCard(run_folder)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two processes, and one that would use a card."""
    folder = tmp_path_factory.mktemp("run")
    card = CardProcesses(
        processes=1,
        threads=2,
        memory=10**9,
        set_up="dualface_core.tracking.observation:set_up_card",
        runtime=folder,
        cores=2,
    )
    with Workers(CoreBudget(folder, cores=2), card=card) as workers:
        yield workers
