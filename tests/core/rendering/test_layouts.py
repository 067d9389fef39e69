"""Every layout, from a video to a result that is found right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualface_core import pipeline
from dualface_core.media.probe import VideoInfo
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
    tracked: tuple[VideoInfo, FaceTracks], tmp_path: Path, name: str
) -> None:
    video, tracks = tracked
    if name == "mine.yaml":
        (tmp_path / name).write_text(MINE)
        name = str(tmp_path / name)
    plan = pipeline.plan_tiles(video, tracks, layout=name)
    checked(video, tracks, plan, tmp_path / "result.mp4")


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
