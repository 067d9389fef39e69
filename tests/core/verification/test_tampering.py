"""Results that were tampered with: each must be refused by the expected check, in a sentence that names the time.

The table in docs/verification.md is of these cases.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dualface_core import pipeline
from dualface_core.media.encoder import Surface
from dualface_core.media.frames import Planes
from dualface_core.verification.findings import Check
from tests.core.verification.results import Edit, Job, render

Make = Callable[..., object]
FRAMES = 30
"""Of the good result, at 10 frames per second."""

MIDDLE = range(12, 15)


def filled(planes: Planes, y: int, u: int = 128, v: int = 128, rows: slice = slice(None)) -> Planes:
    half = slice(rows.start // 2 if rows.start else None, None)
    for plane, level, part in zip(planes, (y, u, v), (rows, half, half), strict=True):
        plane[part] = level
    return planes


def block(planes: Planes, size: int, levels: tuple[int, int, int]) -> Planes:
    """A square that a decoder lost: at no multiple of anything."""
    for plane, scale, level in zip(planes, (1, 2, 2), levels, strict=True):
        plane[410 // scale : (410 + size) // scale, 330 // scale : (330 + size) // scale] = level
    return planes


def noise(planes: Planes) -> Planes:
    rng = np.random.default_rng(0)
    y, u, v = (rng.integers(0, 256, plane.shape, np.uint8) for plane in planes)
    return y, u, v


def grain(planes: Planes) -> Planes:
    rng = np.random.default_rng(0)
    y = np.clip(planes[0] + rng.normal(0, 40, planes[0].shape), 0, 255).astype(np.uint8)
    return y, planes[1], planes[2]


def blurred(planes: Planes, sigma: float) -> Planes:
    y = planes[0]
    for tile in np.hsplit(y, 2):
        tile[:] = cv2.GaussianBlur(tile, (0, 0), sigma)
    return planes


def shifted(planes: Planes, x: int, y: int) -> Planes:
    for plane, scale in zip(planes, (1, 2, 2), strict=True):
        half = plane.shape[1] // 2
        plane[:, :half] = np.roll(plane[:, :half], (y // scale, x // scale), axis=(0, 1))
    return planes


def brighter(planes: Planes, levels: int) -> Planes:
    return np.clip(planes[0].astype(np.int16) + levels, 0, 255).astype(np.uint8), planes[1], planes[2]


def contrast(planes: Planes, factor: float) -> Planes:
    y = np.clip((planes[0].astype(np.float32) - 128) * factor + 128, 0, 255).astype(np.uint8)
    return y, planes[1], planes[2]


def colored(planes: Planes, u: int, v: int) -> Planes:
    changed = [
        np.clip(plane.astype(np.int16) + by, 0, 255).astype(np.uint8)
        for plane, by in zip(planes[1:], (u, v), strict=True)
    ]
    return planes[0], changed[0], changed[1]


def swapped(planes: Planes) -> Planes:
    y, u, v = (np.roll(plane, plane.shape[1] // 2, axis=1) for plane in planes)
    return y, u, v


def doubled(planes: Planes) -> Planes:
    for plane in planes:
        half = plane.shape[1] // 2
        plane[:, half:] = plane[:, :half]
    return planes


def barred(planes: Planes) -> Planes:
    """A letterbox: an eighth above and below is black."""
    for plane, level in zip(planes, (16, 128, 128), strict=True):
        bar = plane.shape[0] // 8
        plane[:bar] = plane[-bar:] = level
    return planes


def during(frames: range, change: Callable[[Planes], Planes]) -> Edit:
    """Changes some frames, and leaves the others as they are."""
    return lambda number, planes: change(planes) if number in frames else planes


def late(by: int, frames: range = range(FRAMES)) -> Edit:
    """Shows every frame in a range `by` frames late; the first of them stays until then."""
    kept: list[Planes] = []

    def edit(number: int, planes: Planes) -> Planes:
        if number == 0:
            kept.clear()
        if number not in frames:
            return planes
        y, u, v = (plane.copy() for plane in planes)
        kept.append((y, u, v))
        return kept[max(0, len(kept) - 1 - by)]

    return edit


ALL = range(FRAMES)
CASES: list[tuple[str, Edit, Check, str]] = [
    ("one frame of noise", during(range(12, 13), noise), Check.SSIM, "0:01.2"),
    ("3 frames of noise", during(MIDDLE, noise), Check.SSIM, "0:01.2"),
    ("noise to the end", during(range(12, FRAMES), noise), Check.SSIM, "0:01.2"),
    ("grain", during(ALL, grain), Check.DETAIL, "0:00.0"),
    ("grain for 3 frames", during(MIDDLE, grain), Check.DETAIL, "0:01.2"),
    ("a blur of sigma 4", during(ALL, lambda p: blurred(p, 4)), Check.DETAIL, "is blurred"),
    ("a blur of sigma 3 for 3 frames", during(MIDDLE, lambda p: blurred(p, 3)), Check.DETAIL, "0:01.2"),
    ("one frame with a blur of sigma 10", during(range(12, 13), lambda p: blurred(p, 10)), Check.DETAIL, "0:01.2"),
    ("one green frame", during(range(12, 13), lambda p: filled(p, 0, 0, 0)), Check.COLOR, "0:01.2"),
    ("bright green frames", during(MIDDLE, lambda p: filled(p, 150, 40, 30)), Check.COLOR, "0:01.2"),
    ("11 green frames", during(range(12, 23), lambda p: filled(p, 80, 90, 80)), Check.COLOR, "11 frames, from 0:01.2"),
    ("black bars", during(ALL, barred), Check.SSIM, "0:00.0"),
    ("one person in both tiles", during(ALL, doubled), Check.SSIM, "0:00.0"),
    ("one person in both tiles for 3 frames", during(MIDDLE, doubled), Check.SSIM, "0:01.2"),
    ("gray frames", during(MIDDLE, lambda p: filled(p, 128)), Check.SSIM, "0:01.2"),
    ("white frames", during(MIDDLE, lambda p: filled(p, 235)), Check.SSIM, "0:01.2"),
    ("a black frame", during(range(12, 13), lambda p: filled(p, 16)), Check.BLACK, "0:01.2"),
    ("a gray lower half", during(MIDDLE, lambda p: filled(p, 128, rows=slice(540, None))), Check.SSIM, "0:01.2"),
    ("a gray lower eighth", during(ALL, lambda p: filled(p, 128, rows=slice(944, None))), Check.SSIM, "0:00.0"),
    ("a gray block of 96 pixels", during(ALL, lambda p: block(p, 96, (128, 128, 128))), Check.SSIM, "0:00.0"),
    ("a green block of 64 pixels", during(MIDDLE, lambda p: block(p, 64, (80, 90, 80))), Check.COLOR, "0:01.2"),
    ("a tile shifted by 30 pixels", during(ALL, lambda p: shifted(p, 30, 0)), Check.SSIM, "0:00.0"),
    ("a tile shifted by 30 rows", during(ALL, lambda p: shifted(p, 0, 30)), Check.SSIM, "0:00."),
    ("a tile shifted by 4 pixels", during(ALL, lambda p: shifted(p, 4, 0)), Check.CROP, "0:0"),
    ("20 levels brighter", during(ALL, lambda p: brighter(p, 20)), Check.SSIM, "0:00.0"),
    ("20 levels darker for 3 frames", during(MIDDLE, lambda p: brighter(p, -20)), Check.SSIM, "0:01.2"),
    ("half the contrast", during(ALL, lambda p: contrast(p, 0.5)), Check.SSIM, "0:00.0"),
    ("inverted", during(MIDDLE, lambda p: contrast(p, -1)), Check.SSIM, "0:01.2"),
    ("without colors", during(ALL, lambda p: (p[0], filled(p, 0)[1], p[2] * 0 + 128)), Check.COLOR, "0:00.0"),
    ("U and V exchanged", during(ALL, lambda p: (p[0], p[2], p[1])), Check.COLOR, "0:00.0"),
    ("a red cast", during(ALL, lambda p: colored(p, -6, 12)), Check.COLOR, "0:00.0"),
    ("tiles swapped for 3 frames", during(MIDDLE, swapped), Check.SSIM, "0:01.2"),
    ("upside down", during(ALL, lambda p: (p[0][::-1], p[1][::-1], p[2][::-1])), Check.SSIM, "0:00.0"),
    ("mirrored", during(ALL, lambda p: swapped((p[0][:, ::-1], p[1][:, ::-1], p[2][:, ::-1]))), Check.SSIM, "0:00.0"),
    ("frozen for 1 s", late(10, range(10, 20)), Check.FROZEN, "0:01."),
    ("frozen to the end", late(30, range(10, FRAMES)), Check.FROZEN, "0:01."),
    ("a frame shown twice", late(1, range(11, 13)), Check.FROZEN, "0:01.2"),
    ("a frame left out", lambda number, planes: None if number == 12 else planes, Check.FRAME_COUNT, "0:01.2"),
    ("100 ms late", late(1), Check.LIP_SYNC, "too late"),
    ("300 ms late", late(3), Check.LIP_SYNC, "too late"),
    ("1 s late", late(10), Check.LIP_SYNC, "too late"),
]


@pytest.mark.parametrize(("edit", "check", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_tampered_result_is_refused(
    faceless: Job, rendered: Callable[..., Path], edit: Edit, check: Check, words: str
) -> None:
    failures = faceless.verify(rendered(edit=edit)).failures
    found = [finding.message for finding in failures if finding.check is check]
    assert any(words in message for message in found), [finding.message for finding in failures]


def test_a_result_with_flipped_bits_is_refused(good: Job, faceless: Job, tmp_path: Path) -> None:
    with av.open(str(good.output)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
    content = bytearray(good.output.read_bytes())
    for packet in packets[10:13]:
        middle = packet.pos + packet.size // 2
        content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    path = tmp_path / "result.mp4"
    path.write_bytes(content)
    assert not faceless.verify(path).passed


def test_without_fingerprints_the_plan_is_composed_anew(good: Job, rendered: Callable[..., Path]) -> None:
    def verified(output: Path) -> set[Check]:
        verification = pipeline.verify(output, video=good.video, tracks=good.tracks, plan=good.plan)
        return {finding.check for finding in verification.failures}

    assert verified(good.output) == set()
    assert Check.SSIM in verified(rendered(edit=during(range(12, 13), noise)))


@pytest.mark.parametrize("scene", ["cross", "leave", "cuts"])
def test_a_right_result_of_a_sample_scene_is_not_refused(
    sample_clip: Callable[..., Path], tmp_path: Path, scene: str
) -> None:
    video = pipeline.probe(sample_clip(scene, seconds=4, fps=10, size=(480, 270)))
    tracks = pipeline.track(video)
    job = Job(video, tracks, pipeline.plan_tiles(video, tracks), tmp_path / "result.mp4")
    render(job, job.output)
    verification = job.verify()
    assert verification.passed, [finding.message for finding in verification.failures]
    assert not [finding.message for finding in verification.warnings if finding.check in {Check.FACE, Check.IDENTITY}]


@pytest.mark.parametrize("frames", [range(12, 13), range(FRAMES - 1)], ids=["one", "all"])
def test_frames_that_are_shown_early_are_refused(
    faceless: Job, composed: list[tuple[Surface, int]], rendered: Callable[..., Path], frames: range
) -> None:
    path = rendered(edit=lambda number, _: composed[number + (number in frames)][0].planes)
    failures = faceless.verify(path).failures
    messages = [finding.message for finding in failures if finding.check is Check.LIP_SYNC]
    assert any("0.10 s too early" in message for message in messages), messages
