"""People by the places of their faces, and what the director makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.director import direct
from dualface_core.directing.parameters import Direction
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.scenes import Scene
from tests.core.made_tracks import face_tracks

Boxes = NDArray[np.float64]

FPS = 30
SIDE_BY_SIDE = LAYOUTS["side-by-side"]


def person(x: object, y: object = 400.0, height: object = 180.0, *, seconds: float = 10.0) -> Boxes:
    """Boxes of a face whose middle is at x, y; each a number, or one value per frame."""
    frames = round(seconds * FPS)
    x, y, height = (np.broadcast_to(np.asarray(value, np.float64), frames) for value in (x, y, height))
    return np.stack([x - 0.4 * height, y - height / 2, 0.8 * height, height], axis=1)


def away(boxes: Boxes, *spans: tuple[float, float]) -> Boxes:
    """The same without some seconds."""
    boxes = boxes.copy()
    for start, stop in spans:
        boxes[round(start * FPS) : round(stop * FPS)] = np.nan
    return boxes


def directed(tracks: FaceTracks, **direction: Any) -> list[Scene]:
    """The scenes of the side-by-side layout."""
    return direct(tracks, SIDE_BY_SIDE, CameraParameters(), Direction(**direction))


def scenes(a: Boxes, b: Boxes, **choices: Any) -> list[Scene]:
    """The scenes of two people; see `face_tracks` for the choices."""
    return directed(face_tracks({"A": a, "B": b}, **choices))


def told(found: list[Scene]) -> list[tuple[str, float, float]]:
    """Kind and cast, and first and last second."""
    return [(" ".join([scene.kind, *scene.cast]), scene.first / FPS, (scene.last + 1) / FPS) for scene in found]
