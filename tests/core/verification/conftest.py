from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualface_core import pipeline
from tests.core.verification.results import Job, remux, render


@pytest.fixture(scope="session")
def good(sample_clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Two people who talk, and a right result."""
    video = pipeline.probe(sample_clip("talk", seconds=3, fps=10))
    tracks = pipeline.track(video)
    plan = pipeline.plan_tiles(video, tracks)
    job = Job(video, tracks, plan, tmp_path_factory.mktemp("good") / "good.mp4")
    render(job, job.output)
    return job


@pytest.fixture
def rendered(good: Job, tmp_path: Path) -> Callable[..., Path]:
    """Renders the good job's plan in a wrong way. See `render` for the choices."""

    def make(**choices: Any) -> Path:
        return render(good, tmp_path / "result.mp4", **choices)

    return make


@pytest.fixture
def remuxed(good: Job, tmp_path: Path) -> Callable[..., Path]:
    """Copies the good result's packets in a wrong way. See `remux` for the choices."""

    def make(**choices: Any) -> Path:
        return remux(good.output, tmp_path / "result.mp4", **choices)

    return make
