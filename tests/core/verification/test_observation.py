"""A result that is looked at in spans, in processes side by side: what is found is what one pass finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dualface_core import pipeline
from dualface_core.engine.spans import spans
from dualface_core.engine.workers import Workers
from dualface_core.media.encoder import Surface
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.verification.findings import Check, Verification
from tests.core.verification.results import ENCODER, Edit, Job, render
from tests.core.verification.test_tampering import during, late, noise

KEYED = replace(ENCODER, options={**ENCODER.options, "g": "10"})
"""With a key frame every second: so seams that are a second apart are there, and others between them."""

CASES: dict[str, tuple[Edit, Check, float]] = {
    "frozen across a seam": (late(9, range(6, 15)), Check.FROZEN, 1.0),
    "late across two seams": (late(2, range(5, 25)), Check.LIP_SYNC, 0.4),
    "noise at a seam": (during(range(9, 11), noise), Check.SSIM, 1.0),
    "a frame left out at a seam": (lambda number, planes: None if number == 10 else planes, Check.FRAME_COUNT, 1.0),
}


@dataclass(frozen=True)
class Right:
    """A right result with key frames, and what is found of it in one pass."""

    output: Path
    whole: Verification


@pytest.fixture(scope="module")
def right(good: Job, composed: Sequence[tuple[Surface, int]], tmp_path_factory: pytest.TempPathFactory) -> Right:
    output = render(good, tmp_path_factory.mktemp("right") / "result.mp4", composed=composed, encoder=KEYED)
    whole = verified(good, output)
    assert whole.passed
    return Right(output, whole)


def verified(job: Job, output: Path, *, workers: Workers | None = None, calls: list[int] | None = None) -> Verification:
    return pipeline.verify(
        output,
        video=job.video,
        tracks=job.tracks,
        plan=job.plan,
        fingerprints=job.fingerprints,
        workers=workers,
        progress=None if calls is None else lambda done, _: calls.append(done),
    )


@pytest.mark.parametrize("seconds", [1.0, 0.4], ids=["at key frames", "at others, too"])
def test_of_a_right_result_the_same_is_found_wherever_the_seams_are(
    good: Job, right: Right, workers: Workers, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr("dualface_core.verification.verify._SPAN_SECONDS", (seconds, seconds))
    assert len(spans(probe(right.output), seconds=seconds)) > 1
    calls: list[int] = []
    assert verified(good, right.output, workers=workers, calls=calls) == right.whole
    assert calls == sorted(calls)


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_at_a_seam_is_found_as_in_one_pass(
    faceless: Job,
    composed: Sequence[tuple[Surface, int]],
    tmp_path: Path,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    edit, check, seconds = CASES[name]
    output = render(faceless, tmp_path / "result.mp4", edit=edit, composed=composed, encoder=KEYED)
    whole = verified(faceless, output)
    assert check in {finding.check for finding in whole.failures}
    monkeypatch.setattr("dualface_core.verification.verify._SPAN_SECONDS", (seconds, seconds))
    assert len(spans(probe(output), seconds=seconds)) > 1
    assert verified(faceless, output, workers=workers) == whole


def test_findings_are_the_same_with_a_card_and_where_it_gives_up(
    good: Job, right: Right, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_core.verification.verify._SPAN_SECONDS", (1.0, 1.0))
    monkeypatch.setattr(pipeline, "_looks_on_card", lambda *_, **__: True)
    calls: list[int] = []
    assert verified(good, right.output, workers=workers, calls=calls) == right.whole
    assert calls[-1] == good.plan.frame_count


def test_findings_are_the_same_where_the_result_cannot_be_decoded(
    faceless: Job, right: Right, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "result.mp4"
    content = bytearray(right.output.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(255 - byte for byte in content[middle : middle + 4096])
    output.write_bytes(content)
    monkeypatch.setattr("dualface_core.verification.verify._SPAN_SECONDS", (1.0, 1.0))
    whole = verified(faceless, output)
    assert not whole.passed
    assert verified(faceless, output, workers=workers) == whole


def test_a_plan_that_is_composed_anew_in_spans_is_the_same(
    good: Job, right: Right, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(spans(good.video, seconds=1.0)) > 1
    monkeypatch.setattr("dualface_core.verification.verify._SPAN_SECONDS", (1.0, 1.0))
    anew = pipeline.verify(right.output, video=good.video, tracks=good.tracks, plan=good.plan, workers=workers)
    assert anew == right.whole


def test_side_by_side_nothing_is_decoded_in_several_threads(faceless: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[int] = set()
    opened = VideoReader.__init__

    def noted(reader: VideoReader, video: VideoInfo, *, threads: int = 0, **options: Any) -> None:
        used.add(threads)
        opened(reader, video, threads=threads, **options)

    monkeypatch.setattr(VideoReader, "__init__", noted)
    monkeypatch.setattr("dualface_core.verification.verify._SPAN_SECONDS", (1.0, 1.0))
    workers = Workers()
    workers.most = 2  # whose tasks run in this process
    assert verified(faceless, faceless.output, workers=workers).passed
    assert used == {1}
