from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualface_core import pipeline
from dualface_core.compositing.composed import composed_frames
from dualface_core.media.encoder import Surface
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


@pytest.fixture(scope="session")
def faceless(good: Job) -> Job:
    """The good job for what is no matter of faces: looking for them would take most of the time."""
    return good.without_faces()


@pytest.fixture(scope="session")
def composed(good: Job) -> list[tuple[Surface, int]]:
    """The frames of the good result as they were composed."""
    return list(composed_frames(good.video, good.plan))


@pytest.fixture
def rendered(good: Job, composed: list[tuple[Surface, int]], tmp_path: Path) -> Callable[..., Path]:
    """Renders the good job's plan in a wrong way. See `render` for the choices."""

    def make(**choices: Any) -> Path:
        return render(good, tmp_path / "result.mp4", composed=None if "plan" in choices else composed, **choices)

    return make


@pytest.fixture
def remuxed(good: Job, tmp_path: Path) -> Callable[..., Path]:
    """Copies the good result's packets in a wrong way. See `remux` for the choices."""

    def make(**choices: Any) -> Path:
        return remux(good.output, tmp_path / "result.mp4", **choices)

    return make
