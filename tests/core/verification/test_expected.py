"""A compositor that errs leaves fingerprints of its errors: only the source tells that they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.compositing.cpu import Compositor
from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.media.frames import Frame, Planes
from dualface_core.tables.tile_plan import FramePlan, TilePlan
from dualface_core.verification.expected import (
    CropCheck,
    Sample,
    Source,
    composed_tiles,
    shown_tile,
    source_frames,
    tile_frame,
)
from dualface_core.verification.findings import Check
from dualface_core.verification.fingerprints import fingerprint, region_fingerprints
from tests.core.verification.results import Job, moved, render
from tests.core.verification.test_tampering import brighter, colored

NUMBERS = [0, 10, 29]
Windows = NDArray[np.float32]


def with_windows(shown: FramePlan, change: Callable[[Windows], Windows]) -> FramePlan:
    return replace(shown, crop_windows=change(shown.crop_windows))


def aside(windows: Windows, x: float, y: float) -> Windows:
    """Some pixels of the canvas to the left and up."""
    return windows + np.array([[x, y, 0, 0]], np.float32) * windows[:, 2:3] / 960


def of_tile_a(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], planes: Planes, first: int = 0) -> Planes:
    for plane in planes[first:]:
        half = plane.shape[1] // 2
        plane[:, :half] = change(np.ascontiguousarray(plane[:, :half]))
    return planes


def transposed(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(np.ascontiguousarray(plane.T), plane.shape[::-1]), np.uint8)


def to_the_right(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.roll(plane, 1, axis=1)


def as_palette(planes: Planes) -> Planes:
    """Luma of few levels with Bayer's dither, and chroma of few, in blocks, as GIF and old codecs leave them."""
    y, u, v = planes
    bayer = np.tile(np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]), (90, 160))
    y = ((y + 2 * bayer[: y.shape[0], : y.shape[1]]) // 32 * 32).clip(0, 255).astype(np.uint8)
    u, v = ((plane[::2, ::2] // 6 * 6).repeat(2, 0).repeat(2, 1)[: u.shape[0], : u.shape[1]] for plane in (u, v))
    return y, u, v


NOTHING = "was not composed of what the plan says at 0:0"
COLORS = "was not composed in the colors of the source at 0:0"
SABOTAGE: dict[str, tuple[Callable[[Windows], Windows], Callable[[Planes], Planes], str]] = {
    "nothing": (lambda w: w, lambda p: p, ""),
    "one pixel to the left": (lambda w: aside(w, 1, 0), lambda p: p, "pixels beside its crop window at 0:0"),
    "one pixel up": (lambda w: aside(w, 0, 1), lambda p: p, "pixels beside its crop window at 0:0"),
    "half a pixel down": (lambda w: aside(w, 0, -0.5), lambda p: p, "pixels beside its crop window at 0:0"),
    "one hundredth larger": (
        lambda w: w * np.array([1, 1, 0.99, 0.99], np.float32),
        lambda p: p,
        "pixels beside its crop window at 0:0",
    ),
    "x and y exchanged": (lambda w: w[:, [1, 0, 2, 3]], lambda p: p, NOTHING),
    "rows as columns": (lambda w: w, lambda p: of_tile_a(transposed, p), NOTHING),
    "tiles exchanged": (lambda w: w[::-1], lambda p: p, NOTHING),
    "5 levels brighter": (lambda w: w, lambda p: brighter(p, 5), NOTHING),
    "U and V exchanged": (lambda w: w, lambda p: (p[0], p[2], p[1]), COLORS),
    "a cast": (lambda w: w, lambda p: colored(p, -4, 4), COLORS),
    "colors one sample to the right": (
        lambda w: w,
        lambda p: of_tile_a(to_the_right, p, first=1),
        "The colors of tile A were composed",
    ),
}


@pytest.fixture(scope="module")
def sampled(good: Job) -> list[Frame]:
    return [frame for _, frame in source_frames(good.video, Sample.of(good.plan, NUMBERS))]


def failures(job: Job, plan: TilePlan, sampled: list[Frame]) -> list[str]:
    """What is found wrong with some frames as the compositor makes them."""
    source, parts = Source(job.video, plan.layout), region_fingerprints(plan.layout)
    left = np.zeros((plan.frame_count, sum(part.size for part in parts)), np.uint8)
    checks = [CropCheck(tile.subject, parts, left, job.tracks.times.tolist()) for tile in plan.layout.tiles]
    for sample, frame in zip(Sample.of(plan, NUMBERS), sampled, strict=True):
        canvas = source.composed(frame, sample.shown)
        left[sample.number] = fingerprint(canvas, parts)[: left.shape[1]]  # without its form
        for slot, tile in composed_tiles(source, sample, frame, canvas).items():
            shown = tile_frame(canvas, sample.shown.tiles[slot], frame.color)
            checks[slot].learn(sample.number, tile, left[sample.number])
            checks[slot].look(sample.number, frame.time, shown_tile(shown))
    return [finding.message for check in checks for finding in check.findings() if not finding.passed]


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_compositor_that_errs_is_found_out(
    good: Job, sampled: list[Frame], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place, drawn, said = SABOTAGE[name]
    right = Compositor.compose

    def wrong(self: Compositor, frame: Frame, shown: FramePlan, canvas: Planes | None = None) -> Planes:
        y, u, v = drawn(right(self, frame, with_windows(shown, place), canvas))
        return y, u, v

    monkeypatch.setattr(Compositor, "compose", wrong)
    messages = failures(good, good.plan, sampled)
    assert any(said in message for message in messages) if said else not messages, messages


@pytest.mark.parametrize(("pixels", "said"), [(0, ""), (1.5, "Tile A was composed")])
def test_dither_and_blocks_that_are_much_enlarged_are_not_taken_for_shifts(
    good: Job, sampled: list[Frame], monkeypatch: pytest.MonkeyPatch, pixels: float, said: str
) -> None:
    right = Compositor.compose

    def drawn(self: Compositor, frame: Frame, shown: FramePlan, *canvas: Planes) -> Planes:
        return right(self, frame, with_windows(shown, lambda w: aside(w, pixels, 0)), *canvas)

    monkeypatch.setattr(Compositor, "compose", drawn)
    plan = moved(good.plan, width=lambda values: 0 * values + 64, height=lambda values: 0 * values + 72)
    frames = [replace(frame, planes=as_palette(frame.planes)) for frame in sampled]
    messages = failures(good, plan, frames)
    assert any(said in message for message in messages) if said else not messages, messages


def test_a_dithered_ramp_is_nowhere_beside_its_place(good: Job, sampled: list[Frame]) -> None:
    # Every other sample is lighter or darker: at a fraction of a sample, kernels move that pattern to different sides.
    rows, columns = np.indices(sampled[0].planes[0].shape)
    ramp = (60 + columns * 0.3 + rows * 0.23).astype(np.uint8)
    frame = replace(sampled[0], planes=as_palette((ramp, *sampled[0].planes[1:])))
    plan = moved(
        good.plan,
        width=lambda values: 0 * values + 64.64,
        height=lambda values: 0 * values + 72.72,
        center_x=lambda values: values - 0.73,
        center_y=lambda values: values - 0.73,
    )
    source, sample = Source(good.video, plan.layout), Sample.of(plan, NUMBERS[:1])[0]
    tiles = composed_tiles(source, sample, frame, source.composed(frame, sample.shown))
    assert [tile.aside for tile in tiles.values()] == [0, 0]


def test_a_result_of_a_compositor_that_errs_is_refused(
    good: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Compositor.compose

    def wrong(self: Compositor, frame: Frame, shown: FramePlan, *canvas: Planes) -> Planes:
        return right(self, frame, with_windows(shown, lambda w: aside(w, 1, 0)), *canvas)

    monkeypatch.setattr(Compositor, "compose", wrong)
    job = replace(good, output=tmp_path / "result.mp4")
    render(job, job.output)
    assert {finding.check for finding in job.verify().failures} == {Check.CROP}


def test_a_result_whose_fingerprints_are_of_something_else_is_refused(good: Job, tmp_path: Path) -> None:
    # Result and fingerprints agree, but neither is what the compositor makes of source and plan.
    job = replace(good, output=tmp_path / "result.mp4")
    render(job, job.output, plan=moved(good.plan, center_x=lambda values: values + np.array([20, 0])))
    messages = [finding.message for finding in job.verify().failures if finding.check is Check.CROP]
    assert any("Tile A at 0:02.9 is not the one that was composed" in message for message in messages), messages


@pytest.mark.parametrize(("crf", "passed"), [(20, True), (40, True), (51, False)])
def test_a_quality_below_the_floor_is_refused(good: Job, tmp_path: Path, crf: int, passed: bool) -> None:
    encoder = software_encoder(EncoderSettings(preset="ultrafast", quality=crf))
    verification = good.verify(render(good, tmp_path / "result.mp4", encoder=encoder))
    quality = [finding for finding in verification.findings if finding.check is Check.QUALITY]
    assert [finding.passed for finding in quality] == [passed, passed], [finding.message for finding in quality]
    assert passed or all("the worst at 0:0" in finding.message for finding in quality)
    assert verification.passed is passed
