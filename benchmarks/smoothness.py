"""Figures that say how calm a camera path is, and how well it shows its person.

Belongs here: measures of a plan against its tracks; no pixels, no thresholds, no verdict. Motion is measured as a
viewer sees it, in pixels of the tile, on the file's own timestamps and never across a cut, so that videos of any size
and frame rate compare.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dualface_core.camera.parameters import CameraParameters
from dualface_core.camera.plan import EYE_LINE_IN_BOX, kept_in_tile
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import CameraState
from dualface_core.tables.layouts import Tile
from dualface_core.tables.tile_plan import TilePlan

Signal = NDArray[np.float64]

STILL: Final = 1.0
"""Pixels of the tile per second. What is slower is at rest."""

FRAMED: Final = 0.1
"""Share of the crop window. A face nearer than this to its anchor, along both axes, is well framed."""


ROUNDING: Final = 0.01
"""Pixels of the source by which a face may stick out of a crop window of single precision."""


class TileSmoothness(BaseModel):
    """How the camera of one tile behaves.

    Motion is that of the crop window's center in pixels of the tile; the rest is over frames in the state "tracking" in
    which the face is in the tracks. A figure is None where there is nothing to measure.

    Attributes:
        tile: index of the tile.
        person: whose tile it is.
        path_length: pixels per second, on average.
        still: share of the time at rest, 0 to 1.
        acceleration: root mean square, pixels/s2.
        jerk: root mean square, pixels/s3.
        reversals: changes of direction per second, along both axes together.
        zoom_breathing: standard deviation of the zoom's speed, in natural logarithms per second.
        face_in_tile: share of frames in which the tile shows all that the frame has of the face box with the
            plan's margin, 0 to 1.
        offset_x, offset_y: mean distance of the face from its anchor, as a share of the tile's width and height.
        headroom: mean distance of the face box from the top of the tile, as a share of the tile's height.
        recovery: seconds from a cut until the face is well framed, on average.
        tracking, holding, wide: share of frames in each state, 0 to 1.
    """

    model_config = ConfigDict(frozen=True)

    tile: int
    person: str
    path_length: float | None
    still: float | None
    acceleration: float | None
    jerk: float | None
    reversals: float | None
    zoom_breathing: float | None
    face_in_tile: float | None
    offset_x: float | None
    offset_y: float | None
    headroom: float | None
    recovery: float | None
    tracking: float
    holding: float
    wide: float


def smoothness(plan: TilePlan, tracks: FaceTracks) -> list[TileSmoothness]:
    """Measure the camera of each tile, in the order of the layout's tiles."""
    times, shots = tracks.times, [shot.frames for shot in tracks.shots]
    crop_windows, states = plan.crop_windows.astype(np.float64), plan.states
    camera = CameraParameters.model_validate(plan.metadata.camera)
    results = []
    for index, tile in enumerate(plan.layout.tiles):
        boxes = tracks.boxes(tile.person)
        tracking = states[:, index] == CameraState.TRACKING
        results.append(
            TileSmoothness(
                tile=index,
                person=tile.person,
                **_motion(crop_windows[:, index], tile, times, shots),
                **_framing(
                    crop_windows[:, index],
                    np.where(tracking[:, None], boxes, np.nan),
                    times,
                    shots,
                    camera,
                    plan.metadata.frame_size,
                ),
                tracking=float(tracking.mean()),
                holding=float((states[:, index] == CameraState.HOLDING).mean()),
                wide=float((states[:, index] == CameraState.WIDE).mean()),
            )
        )
    return results


def _motion(crop_windows: Signal, tile: Tile, times: Signal, shots: list[slice]) -> dict[str, float | None]:
    """What the camera does, apart from anybody's face."""
    seconds, speeds, accelerations, jerks, zooms = [], [], [], [], []
    turns = 0
    for shot in shots:
        step = np.diff(times[shot])
        center, height = crop_windows[shot, :2], crop_windows[shot, 3]
        if not len(step):
            continue
        scale = tile.height / ((height[1:] + height[:-1]) / 2)
        velocity = np.diff(center, axis=0) * (scale / step)[:, None]
        middle = (times[shot][1:] + times[shot][:-1]) / 2
        acceleration, middle = _rate(velocity, middle)
        jerk, _ = _rate(acceleration, middle)
        seconds.append(step)
        speeds.append(np.hypot(*velocity.T))
        accelerations.append(np.hypot(*acceleration.T))
        jerks.append(np.hypot(*jerk.T))
        zooms.append(np.diff(np.log(height)) / step)
        turns += sum(_reversals(along) for along in velocity.T)
    if not seconds:
        return dict.fromkeys(("path_length", "still", "acceleration", "jerk", "reversals", "zoom_breathing"))
    time, speed = np.concatenate(seconds), np.concatenate(speeds)
    return {
        "path_length": float(np.average(speed, weights=time)),
        "still": float(np.average(speed < STILL, weights=time)),
        "acceleration": _rms(accelerations),
        "jerk": _rms(jerks),
        "reversals": float(turns / time.sum()),
        "zoom_breathing": float(np.std(np.concatenate(zooms))),
    }


def _framing(
    crop_windows: Signal,
    boxes: Signal,
    times: Signal,
    shots: list[slice],
    camera: CameraParameters,
    frame_size: tuple[int, int],
) -> dict[str, float | None]:
    """How the face lies in the tile; `boxes` is NaN where that doesn't count."""
    counted = ~np.isnan(boxes[:, 0])
    if not counted.any():
        return dict.fromkeys(("face_in_tile", "offset_x", "offset_y", "headroom", "recovery"))
    # Edges and eyes of the face as shares of the tile, from its left and top.
    corner = crop_windows[:, :2] - crop_windows[:, 2:] / 2
    position = (boxes[:, :2] - corner) / crop_windows[:, 2:]
    extent = boxes[:, 2:] / crop_windows[:, 2:]
    offset = np.abs(position + extent * (0.5, EYE_LINE_IN_BOX) - (0.5, camera.eye_line))
    framed = np.asarray((offset < FRAMED).all(axis=1))

    left, top, right, bottom = kept_in_tile(boxes, camera.face_margin, *frame_size)
    beyond = np.stack([corner.T - (left, top), (right, bottom) - (corner + crop_windows[:, 2:]).T])
    inside = np.asarray((beyond <= ROUNDING).all(axis=(0, 1)))
    recoveries = []
    for shot in shots[1:]:
        visible = np.flatnonzero(counted[shot]) + shot.start
        if len(visible):
            good = visible[framed[visible]]
            recoveries.append(times[good[0] if len(good) else visible[-1]] - times[visible[0]])
    return {
        "face_in_tile": float(inside[counted].mean()),
        "offset_x": float(offset[counted, 0].mean()),
        "offset_y": float(offset[counted, 1].mean()),
        "headroom": float(position[counted, 1].mean()),
        "recovery": float(np.mean(recoveries)) if recoveries else None,
    }


def _rate(values: Signal, times: Signal) -> tuple[Signal, Signal]:
    """The derivative of (samples, axes), and the times at which it holds."""
    return np.diff(values, axis=0) / np.diff(times)[:, None], (times[1:] + times[:-1]) / 2


def _reversals(velocity: Signal) -> int:
    direction = np.sign(velocity[np.abs(velocity) >= STILL])
    return int(np.count_nonzero(np.diff(direction)))


def _rms(parts: list[Signal]) -> float | None:
    values = np.concatenate(parts)
    return float(np.sqrt(np.mean(values**2))) if len(values) else None
