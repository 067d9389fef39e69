"""Fixtures: a video with its result, as it would be content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dualface_core import pipeline
from dualface_core.review.page import PageContent
from dualface_core.settings import Settings
from dualface_core.verification.findings import Check, Finding, Verification
from tests.conftest import SampleClip

About = Callable[..., PageContent]


@pytest.fixture(scope="session")
def content(sample_clip: SampleClip, tmp_path_factory: pytest.TempPathFactory) -> PageContent:
    """A video of two seconds with its result, as it is shown on its page: review/KEY/ beside the two files."""
    folder = tmp_path_factory.mktemp("content")
    source = folder / "source.mp4"
    source.write_bytes(sample_clip("talk", seconds=2).read_bytes())
    video = pipeline.probe(source)
    tracks = pipeline.track(video)
    plan = pipeline.plan_tiles(video, tracks)
    result = folder / "result.mp4"
    report = pipeline.render_with_software(video, plan, result, settings=Settings(preset="ultrafast"))
    findings = [
        Finding(check=Check.READABLE, passed=True, value=30, expected="30", message="All 30 frames could be decoded."),
        Finding(
            check=Check.FACE, passed=False, severity="warning", value=80.0, expected="85", message="Some are dark."
        ),
    ]
    return PageContent(
        key="talk-0123456789",
        name="talk.mp4",
        video=video,
        tracks=tracks,
        plan=plan,
        report=pipeline.verified_report(report, Verification(findings=findings), video, tracks, plan),
        result=pipeline.probe(result),
        seconds={"probe": 0.1, "track": 2.0, "render": 3.0, "verify": 1.0},
        source_link="../../source.mp4",
        result_link="../../result.mp4",
        index_link="../index.html",
    )


@pytest.fixture
def about(content: PageContent) -> About:
    """The same video with something else about it: `about(name="other.mp4")`."""
    return lambda **changes: replace(content, **changes)
