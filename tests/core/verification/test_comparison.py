from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Planes
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import VideoWriter
from dualface_core.tables.layouts import layout
from dualface_core.verification.comparison import RegionComparison, ssim
from dualface_core.verification.expected import Sample, cheap_frames, evenly, sampled_frames, source_frames
from dualface_core.verification.fingerprints import region_fingerprints
from dualface_core.verification.verify import Check
from tests.core.engine.test_spans import copied
from tests.core.made_tracks import face_tracks, plan_camera
from tests.core.media.conftest import write_clip
from tests.core.verification.results import ENCODER, Job, render

RATE = 4
STILL, BLACK, MOVING = range(44), range(44, 56), range(56, 96)
"""Frames of the slide show: 11 s, 3 s and 10 s."""


def slide(number: int) -> Planes:
    """A picture that stands still, then black, then one that moves."""
    rng = np.random.default_rng(0)
    half = np.full((90, 160), 128, np.uint8)
    if number in BLACK:
        return np.full((180, 320), 16, np.uint8), half, half
    blocks = np.kron(rng.integers(40, 220, (18, 40)), np.ones((10, 10))).astype(np.uint8)
    offset = 6 * (number - MOVING.start) if number in MOVING else 0
    return np.roll(blocks, offset, axis=1)[:, :320], half, half


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A video without faces, and a right result."""
    folder = tmp_path_factory.mktemp("slides")
    frames = len(STILL) + len(BLACK) + len(MOVING)
    with VideoWriter(
        folder / "slides.mp4",
        width=320,
        height=180,
        time_base=Fraction(1, RATE),
        average_rate=Fraction(RATE),
        color=ColorInfo(),
        encoder=ENCODER,
    ) as writer:
        for number in range(frames):
            writer.write(slide(number), number)
    video = probe(folder / "slides.mp4")
    step = Fraction(1, RATE) / video.time_base
    tracks = face_tracks(
        {"A": np.full((frames, 4), np.nan)},
        size=(320, 180),
        pts=[round(number * step) for number in range(frames)],
        time_base=str(video.time_base),
        fingerprint=video.fingerprint,
    )
    job = Job(video, tracks, plan_camera(tracks, layout("side-by-side")), folder / "result.mp4")
    render(job, job.output)
    return job


def test_a_source_that_stands_still_or_turns_black_is_not_blamed_on_the_result(slides: Job) -> None:
    verification = slides.verify()
    assert verification.passed, [finding.message for finding in verification.failures]
    still = [finding for finding in verification.warnings if finding.check is Check.FROZEN]
    assert [finding.value for finding in still] == [11, 11]
    assert still[0].message == "The left half is frozen for 11.0 s, as the source itself is."


def test_standing_still_while_such_a_source_moves_is_found_out(slides: Job, tmp_path: Path) -> None:
    kept: list[np.ndarray] = []

    def edit(number: int, planes: Planes) -> Planes:
        if number == MOVING.start + 10:
            kept.extend(plane.copy() for plane in planes)
        return (kept[0], kept[1], kept[2]) if MOVING.start + 10 <= number < MOVING.start + 22 else planes

    verification = slides.verify(render(slides, tmp_path / "result.mp4", edit=edit))
    frozen = [finding for finding in verification.failures if finding.check is Check.FROZEN]
    assert [finding.value for finding in frozen] == [2.75, 2.75]


def test_a_source_whose_pictures_all_depend_on_one_is_still_looked_at_in_several(slides: Job) -> None:
    numbers = cheap_frames(slides.video, slides.plan, 24)
    assert numbers[0] == 0
    assert 8 <= len(numbers) <= 24
    found = source_frames(slides.video, Sample.of(slides.plan, numbers))
    assert [(sample.number, frame.index) for sample, frame in found] == [(number, number) for number in numbers]
    few = cheap_frames(slides.video, slides.plan, 3)
    assert few[0] == 0
    assert len(few) <= 3


def test_frames_of_recordings_that_were_joined_so_that_they_overlap_are_not_taken_for_others(tmp_path: Path) -> None:
    write_clip(tmp_path / "part.mp4", pts=range(48), options={"g": "12", "bf": "3"})
    copied(tmp_path / "joined.mp4", *[tmp_path / "part.mp4"] * 2, without=1)
    video = probe(tmp_path / "joined.mp4")
    with VideoReader(video) as reader:
        frames = list(reader)
    pts = [frame.pts for frame in frames]
    nobody = {"A": np.full((len(pts), 4), np.nan)}
    tracks = face_tracks(nobody, size=(96, 64), pts=pts, time_base=str(video.time_base), fingerprint=video.fingerprint)
    plan = plan_camera(tracks, layout("side-by-side"))
    numbers = sampled_frames(video, plan, 24)
    assert len(numbers) >= 8
    for number in numbers:
        ((_, found),) = source_frames(video, Sample.of(plan, [number]))
        assert all(map(np.array_equal, found.planes, frames[number].planes))


@given(st.integers(0, 200), st.integers(1, 50))
def test_evenly_keeps_order_the_ends_and_the_number(length: int, count: int) -> None:
    chosen = evenly(range(length), count)
    assert len(chosen) == min(length, count)
    assert chosen == sorted(set(chosen))
    if chosen:
        assert chosen[0] == 0
    if len(chosen) > 1:
        assert chosen[-1] == length - 1


def test_a_tile_is_like_itself_even_with_noise_and_unlike_another() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(30, 220, (27, 24)).astype(np.float32)
    others = np.stack([one, one + rng.normal(0, 4, one.shape).astype(np.float32), one[::-1]])
    same, noisy, turned = ssim(np.stack([one] * 3), others)
    assert same == pytest.approx(1)
    assert noisy > 0.98
    assert turned < 0.3


def test_one_cell_that_differs_is_found_in_a_busy_picture() -> None:
    part = region_fingerprints(layout("side-by-side"))[0]
    composed = np.random.default_rng(0).integers(60, 200, (5, part.size), np.uint8)
    shown = composed.copy()
    shown[2, part.chroma.start // 2] += 40
    comparison = RegionComparison(part, composed, [*range(6)], ColorInfo())
    for number, frame in enumerate(shown):
        comparison.look(number, number, frame)
    comparison.finish()
    failures = [finding for finding in comparison.findings() if not finding.passed]
    assert [finding.check for finding in failures] == [Check.SSIM]
    assert "in 1 of 5 frames, from 0:02.0 (frame 2) on: by up to 40 levels" in failures[0].message


@pytest.mark.parametrize(("levels", "found"), [(1, []), (3, [Check.LIP_SYNC])])
def test_a_frame_is_told_from_the_next_by_more_than_what_rounding_does(levels: int, found: list[Check]) -> None:
    part, rng = region_fingerprints(layout("side-by-side"))[0], np.random.default_rng(0)
    composed = rng.integers(100, 120, part.size, np.uint8) + levels * (rng.random((12, part.size)) < 0.2).astype(
        np.uint8
    )
    shown = composed.copy()
    shown[5] = composed[6]
    comparison = RegionComparison(part, composed, [number / 25 for number in range(13)], ColorInfo())
    for number, frame in enumerate(shown):
        comparison.look(number, number / 25, frame)
    comparison.finish()
    assert [finding.check for finding in comparison.findings() if not finding.passed] == found


def test_after_a_lost_frame_pictures_are_still_matched_by_their_time(slides: Job, tmp_path: Path) -> None:
    path = render(slides, tmp_path / "r.mp4", edit=lambda number, planes: None if number == 2 else planes)
    failures = slides.verify(path).failures
    assert {finding.check for finding in failures} == {Check.FRAME_COUNT}
