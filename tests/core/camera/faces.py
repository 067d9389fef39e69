"""Faces made by hand, as boxes over time, and what a plan makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.framing import Framing
from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, plan_camera

Boxes = NDArray[np.float64]

FPS = 30
SIDE_BY_SIDE = LAYOUTS["side-by-side"]
ABSENT = np.nan


def person(x: object, y: object = 400.0, height: object = 180.0, *, seconds: float = 10.0) -> Boxes:
    """Boxes of a face whose center is at x, y; each a number or one value per frame."""
    frames = round(seconds * FPS)
    x, y, height = (np.broadcast_to(np.asarray(value, np.float64), frames) for value in (x, y, height))
    width = 0.75 * height
    return np.stack([x - width / 2, y - height / 2, width, height], axis=1)


def at(*points: tuple[float, float], seconds: float = 10.0) -> NDArray[np.float64]:
    """A value per frame, on straight lines between (seconds, value)."""
    times, values = np.array(points).T
    return np.interp(np.arange(round(seconds * FPS)) / FPS, times, values)


def gone(boxes: Boxes, *spans: tuple[float, float]) -> Boxes:
    boxes = boxes.copy()
    for start, stop in spans:
        boxes[round(start * FPS) : round(stop * FPS)] = ABSENT
    return boxes


def filmed(a: Boxes, b: Boxes | None = None, **choices: Any) -> TilePlan:
    """The side-by-side plan of A, and of B if there is one; see `face_tracks` for the choices."""
    return plan_camera(face_tracks({"A": a} if b is None else {"A": a, "B": b}, **choices), SIDE_BY_SIDE)


def tile(plan: TilePlan, index: int = 0) -> Boxes:
    """(frames, 4) of center x, center y, width, height."""
    return plan.crop_windows[:, index].astype(np.float64)


def speed(crop_windows: Boxes) -> NDArray[np.float64]:
    """How fast each crop window's center goes to the left or right, in pixels a second."""
    return np.abs(np.diff(crop_windows[:, 0])) * FPS


def assert_whole_face_in_tile(plan: TilePlan, boxes: Boxes, index: int = 0) -> None:
    """In every tracking frame in which the person was seen, if the widest crop window can hold face and margin."""
    parameters = CameraParameters.model_validate(plan.metadata.camera)
    frame = np.tile([0.0, 0.0, *plan.metadata.frame_size], (plan.frame_count, 1))
    framing = Framing(frame, SIDE_BY_SIDE.tiles[index].aspect, SIDE_BY_SIDE.height, parameters)
    counted = (plan.states[:, index] == "tracking") & ~np.isnan(boxes[:, 0])
    assert framing.shows(tile(plan, index), boxes)[counted].all()
