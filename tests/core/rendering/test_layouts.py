"""Every layout, from a video to a result that is found right.

With DUALFACE_SCREENSHOTS set to a folder, the picture of them in the documentation is written there, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core import pipeline
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.settings import Settings
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind, Subject
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import TilePlan
from tests.conftest import SampleClip

MINE = """width: 640
height: 360
gap: 12
corners: 20
border: {width: 4, color: "#e07b00"}
background: blurred
captions: {A: Anna, B: Ben}
tiles:
  - {shows: A, x: 0, y: 0, width: 320, height: 360}
  - {shows: B, x: 320, y: 0, width: 320, height: 360}
"""


PICTURE_ROWS = (
    ("side-by-side", "picture-in-picture", "mine.yaml"),
    ("stacked", "vertical-solo", "square", "four-by-five", "wide-plus-two"),
)
"""Layouts as the documentation shows them."""


@pytest.fixture(scope="module")
def pictures() -> Iterator[dict[str, NDArray[np.uint8]]]:
    """The first frame of every result, in BGR."""
    found: dict[str, NDArray[np.uint8]] = {}
    yield found
    if folder := os.environ.get("DUALFACE_SCREENSHOTS"):
        rows = [np.hstack([labeled(name, found[name]) for name in names]) for names in PICTURE_ROWS]
        width = max(row.shape[1] for row in rows)
        padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        cv2.imwrite(str(Path(folder) / "layouts.jpg"), np.vstack(padded), (cv2.IMWRITE_JPEG_QUALITY, 80))


def labeled(name: str, image: NDArray[np.uint8], height: int = 160) -> NDArray[np.uint8]:
    """A small picture with its name below, on white."""
    small = cv2.resize(image, (image.shape[1] * height // image.shape[0], height), interpolation=cv2.INTER_AREA)
    drawn = np.full((height + 28, max(small.shape[1], 116) + 12, 3), 255, np.uint8)
    drawn[:height, : small.shape[1]] = small
    cv2.putText(drawn, name, (0, height + 16), (60, 60, 60), cv2.FontFace("sans"), 12, 400)
    return drawn


@pytest.fixture(scope="module")
def tracked(sample_clip: SampleClip) -> tuple[VideoInfo, FaceTracks]:
    video = pipeline.probe(sample_clip("talk", seconds=1, fps=10))
    return video, pipeline.track(video)


def checked(video: VideoInfo, tracks: FaceTracks, plan: TilePlan, path: Path) -> None:
    """Render and verify."""
    settings = Settings(encoder="software", preset="ultrafast")
    prints = path.with_suffix(".prints")
    pipeline.render_with_software(video, plan, path, settings=settings, fingerprints=prints)
    found = pipeline.verify(path, video=video, tracks=tracks, plan=plan, settings=settings, fingerprints=prints)
    assert found.passed, [finding.message for finding in found.failures]


@pytest.mark.parametrize("name", [*LAYOUTS, "mine.yaml"])
def test_a_layout_becomes_a_result_that_is_right(
    tracked: tuple[VideoInfo, FaceTracks], pictures: dict[str, NDArray[np.uint8]], tmp_path: Path, name: str
) -> None:
    video, tracks = tracked
    (tmp_path / "mine.yaml").write_text(MINE)
    plan = pipeline.plan_tiles(video, tracks, layout=name if name in LAYOUTS else str(tmp_path / name))
    checked(video, tracks, plan, tmp_path / "result.mp4")
    with VideoReader(probe(tmp_path / "result.mp4")) as reader:
        pictures[name] = next(iter(reader)).bgr()
    assert pictures[name].shape == (plan.layout.height, plan.layout.width, 3)


def test_a_scene_that_leaves_some_of_the_canvas_to_the_background_becomes_a_result_that_is_right(
    tracked: tuple[VideoInfo, FaceTracks], tmp_path: Path
) -> None:
    video, tracks = tracked
    split = pipeline.plan_tiles(video, tracks, layout="vertical-solo")
    tiles, windows = split.tiles.copy(), split.crop_windows.copy()
    tiles[5:] = [(0, 656, 1080, 608), (0, 0, 0, 0)]
    windows[5:, 0] = [video.width / 2, video.height / 2, video.width, video.height]
    kinds = (0, 4, SceneKind.SPLIT, (Subject.A, Subject.B)), (5, 9, SceneKind.WHOLE, (Subject.FRAME,))
    plan = TilePlan.of(
        tracks,
        split.layout,
        scenes=[Scene(first=first, last=last, kind=kind, cast=cast, reason="") for first, last, kind, cast in kinds],
        tiles=tiles,
        crop_windows=windows,
        states=np.zeros((10, 2), np.int8),
        camera=split.metadata.camera,
        direction={},
    )
    checked(video, tracks, plan, tmp_path / "result.mp4")
