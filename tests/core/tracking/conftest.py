from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from dualface_core.faces.detections import Detections
from dualface_core.faces.sface import FaceEmbedder
from dualface_core.faces.yunet import FaceDetector
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tracking.tracker import FaceTracker, TrackParameters

SeeFaces = Callable[..., Detections]
TrackClip = Callable[..., FaceTracks]


@pytest.fixture(scope="session")
def see() -> SeeFaces:
    """Make detections of faces: `see([(x, y, size), ...], scores=[...])`, given the centers and the sides."""

    def faces(centers: Sequence[ArrayLike], scores: Sequence[float] | None = None) -> Detections:
        rows = np.asarray(centers, np.float32).reshape(-1, 3)
        x, y, side = rows.T
        boxes = np.column_stack([x - side / 2, y - side / 2, side, side]).astype(np.float32)
        spots = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
        landmarks = boxes[:, None, :2] + spots * boxes[:, None, 2:]
        return Detections(boxes, landmarks, np.asarray(scores or [0.9] * len(rows), np.float32))

    return faces


@pytest.fixture(scope="session")
def models() -> tuple[FaceDetector, FaceEmbedder]:
    return FaceDetector(), FaceEmbedder()


@pytest.fixture(scope="session")
def track_clip(models: tuple[FaceDetector, FaceEmbedder]) -> TrackClip:
    """Track a video file."""

    def track(path: Path, parameters: TrackParameters | None = None) -> FaceTracks:
        video = probe(path)
        tracker = FaceTracker(
            parameters or TrackParameters(),
            *models,
            frame_size=(video.width, video.height),
            time_base=video.time_base,
            fingerprint=video.fingerprint,
        )
        with VideoReader(video, loop_filter=False) as reader:
            for frame in reader:
                tracker.add(frame)
        return tracker.finish()

    return track
