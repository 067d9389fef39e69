"""Pictures for people: what the result will show, where the faces are over time, how the cameras move.

Belongs here: small images for a web page, at most 30 KB each and drawn to be read at a width of about 800 pixels. They
carry their own light ground, so that they look the same on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.cpu import Compositor
from dualface_core.media.frames import Frame
from dualface_core.review.timeline import Timeline
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import CameraState, FaceSource, Person
from dualface_core.tables.layouts import Layout
from dualface_core.tables.tile_plan import TilePlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Image = NDArray[np.uint8]

MAX_BYTES: Final = 30_000
"""Of a picture that goes into the metadata of an asset."""

COLORS: Final = {Person.A: "#1f6fd0", Person.B: "#e07b00"}
"""Of the persons, in every picture: blue and orange, which color-blind people can tell apart."""

_OTHERS: Final = "#777777"
_STATE_COLORS: Final = {CameraState.HOLDING: "#f5d76e", CameraState.WIDE: "#b6dbb6"}
_SHEET_WIDTH: Final = 800
_SHEET_COLUMNS: Final = 4
_GAP: Final = 6
_CAPTION: Final = 16


def preview_frames(plan: TilePlan, count: int = 8) -> list[int]:
    """Frame numbers worth showing, ascending: spread over the video, from the middle of shots rather than their ends.

    Fewer than `count` where the video is shorter.
    """
    first = np.array([shot.first for shot in plan.shots])
    length = np.array([len(shot) for shot in plan.shots])
    if len(first) > count:
        longest = np.sort(np.argsort(-length, kind="stable")[:count])
        first, length = first[longest], length[longest]
    pictures = np.ones(len(first), np.intp)
    while pictures.sum() < min(count, length.sum()):
        # The next picture goes to the shot in which pictures are farthest apart.
        pictures[np.argmax(np.where(pictures < length, length / pictures, 0))] += 1
    chosen = [
        int(start + (2 * index + 1) * frames // (2 * number))
        for start, frames, number in zip(first, length, pictures, strict=True)
        for index in range(number)
    ]
    return sorted(chosen)


def contact_sheet(frames: Sequence[Frame], plan: TilePlan, *, max_bytes: int = MAX_BYTES) -> bytes:
    """A JPEG of source pictures with the tiles' rectangles, and below each of them the canvas made from it.

    Args:
        frames: of the source, such as those of `preview_frames`.
        plan: what each tile shows.
        max_bytes: greatest size of the JPEG.
    """
    columns = min(_SHEET_COLUMNS, len(frames))
    width = (_SHEET_WIDTH - (columns + 1) * _GAP) // columns
    cells = [_cell(frame, plan.crop_windows[frame.index], plan.layout, width) for frame in frames]
    height = max(cell.shape[0] for cell in cells)
    rows = -(-len(cells) // columns)
    sheet = np.full((_GAP + rows * (height + _GAP), _GAP + columns * (width + _GAP), 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        y, x = _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
        sheet[y : y + cell.shape[0], x : x + width] = cell
    return _jpeg(sheet, max_bytes)


def _cell(frame: Frame, crop_windows: NDArray[np.float32], canvas: Layout, width: int) -> Image:
    source = _marked(frame, crop_windows, canvas, width)
    planes = Compositor(canvas, frame.width, frame.height).compose(frame.planes, crop_windows)
    composed = _fitted(replace(frame, planes=planes).bgr(2 * width), width, width)

    cell = np.full((_CAPTION + source.shape[0] + 2 + composed.shape[0], width, 3), 255, np.uint8)
    cv2.putText(cell, _clock(frame.time), (0, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    top = _CAPTION
    for picture in (source, composed):
        left = (width - picture.shape[1]) // 2
        cell[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += picture.shape[0] + 2
    return cell


def _marked(frame: Frame, crop_windows: NDArray[np.float32], canvas: Layout, width: int) -> Image:
    picture = _fitted(frame.bgr(2 * width), width, width)
    scale = picture.shape[1] / frame.width
    for tile, (x, y, w, h) in zip(canvas.tiles, crop_windows, strict=True):
        corners = [round(float(v) * scale) for v in (x - w / 2, y - h / 2, x + w / 2 - 1, y + h / 2 - 1)]
        cv2.rectangle(picture, corners[:2], corners[2:], _bgr(tile.person), 2)
    return picture


def marked_frame(
    frame: Frame, crop_windows: NDArray[np.float32], canvas: Layout, *, width: int, max_bytes: int = MAX_BYTES
) -> bytes:
    """A JPEG of a source picture with the tiles' rectangles in it.

    Args:
        frame: of the source.
        crop_windows: (tiles, 4), what each tile shows in it.
        canvas: the plan's layout.
        width: of the JPEG, in pixels; its height is no greater.
        max_bytes: greatest size of the JPEG.
    """
    return _jpeg(_marked(frame, crop_windows, canvas, width), max_bytes)


def thumbnail(frame: Frame, tracks: FaceTracks | None, *, width: int = 640, max_bytes: int = MAX_BYTES) -> bytes:
    """A JPEG of one picture, no wider and no higher than `width`; with tracks, the faces in it are framed and named."""
    picture = _fitted(frame.bgr(2 * width), width, width)
    if tracks is not None:
        scale = picture.shape[1] / frame.width
        for person in tracks.people:
            box = tracks.boxes(person)[frame.index] * scale
            if not np.isnan(box[0]):
                x, y, right, bottom = (round(float(v)) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
                cv2.rectangle(picture, (x, y), (right, bottom), _bgr(person), 2)
                cv2.putText(picture, person, (x, y - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _bgr(person), 2, cv2.LINE_AA)
    return _jpeg(picture, max_bytes)


def tracks_plot(tracks: FaceTracks, *, max_bytes: int = MAX_BYTES) -> bytes:
    """A PNG of where the faces are, from left to right, over time.

    The band is the face's width; dots are detections, and a bare line is interpolated. Cuts are dotted lines.
    """
    from matplotlib.figure import Figure

    timeline = Timeline.of(tracks)
    figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
    axes = figure.subplots()
    everyone = tracks.table.select(["frame", "person", "x", "width", "source"]).to_pandas()
    others = everyone[everyone.person.isna()]
    if len(others):
        axes.plot(timeline.times[others.frame], others.x + others.width / 2, ",", color=_OTHERS, label="anyone else")
    for person in tracks.people:
        boxes = tracks.boxes(person)
        low, high = timeline.least(boxes[:, 0]), timeline.greatest(boxes[:, 0] + boxes[:, 2])
        axes.fill_between(timeline.at, low, high, color=_color(person), alpha=0.2, linewidth=0)
        axes.plot(timeline.at, (low + high) / 2, color=_color(person), linewidth=0.8)
        rows = everyone[everyone.person == person]
        seen = np.full(len(boxes), np.nan)
        seen[rows.frame[rows.source == FaceSource.DETECTED]] = 0
        detected = ~np.isnan(timeline.least(seen))
        share = (rows.source == FaceSource.DETECTED).sum() / max(len(rows), 1)
        axes.plot(
            timeline.at[detected],
            ((low + high) / 2)[detected],
            ".",
            color=_color(person),
            markersize=2.5,
            label=f"{person}, {share:.0%} detected",
        )
    _finish(axes, timeline, tracks)
    axes.set_ylim(0, tracks.metadata.frame_width)
    axes.set_ylabel("left to right, px")
    axes.set_xlabel("time, s")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9, markerscale=3)
    return _png(figure, max_bytes)


def camera_plot(tracks: FaceTracks, plan: TilePlan, *, max_bytes: int = MAX_BYTES) -> bytes:
    """A PNG with a panel per tile, of what the camera shows from left to right against where the face is, and the zoom.

    Where the ground is colored, the camera waits for the person or shows the wide shot.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    timeline = Timeline.of(tracks)
    canvas, crop_windows, states = plan.layout, plan.crop_windows.astype(np.float64), plan.states
    figure = Figure(figsize=(8, 1.7 * len(canvas.tiles) + 1.6), dpi=100, layout="constrained")
    panels = figure.subplots(len(canvas.tiles) + 1, sharex=True, height_ratios=[3] * len(canvas.tiles) + [2])
    zoom = panels[-1]
    for index, (tile, axes) in enumerate(zip(canvas.tiles, panels, strict=False)):
        color = _color(tile.person)
        center, width, height = crop_windows[:, index, 0], crop_windows[:, index, 2], crop_windows[:, index, 3]
        for state, shade in _STATE_COLORS.items():
            present = ~np.isnan(timeline.least(np.where(states[:, index] == state, 0.0, np.nan)))
            axes.fill_between(
                timeline.at, 0, 1, where=present, step="post", color=shade, transform=axes.get_xaxis_transform(), lw=0
            )
        low, high = timeline.least(center - width / 2), timeline.greatest(center + width / 2)
        axes.fill_between(timeline.at, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(timeline.at, timeline.middle(center), color=color, linewidth=1.8)
        boxes = tracks.boxes(tile.person)
        axes.plot(timeline.at, timeline.middle(boxes[:, 0] + boxes[:, 2] / 2), color="#222222", linewidth=0.7)
        axes.set_ylim(0, tracks.metadata.frame_width)
        axes.set_ylabel(f"tile {tile.person}, px")
        _finish(axes, timeline, tracks)
        zoom.plot(timeline.at, timeline.middle(tile.height / height), color=color, linewidth=1.4)
    zoom.set_ylabel("zoom")
    zoom.set_xlabel("time, s")
    _finish(zoom, timeline, tracks)
    figure.legend(
        handles=[
            *axes.plot([], [], color="#222222", linewidth=0.7, label="face"),
            *axes.plot([], [], color="#555555", linewidth=1.8, label="camera"),
            Patch(color="#555555", alpha=0.2, linewidth=0, label="tile shows"),
            *(Patch(color=shade, linewidth=0, label=state) for state, shade in _STATE_COLORS.items()),
        ],
        loc="outside upper center",
        ncols=5,
        frameon=False,
        fontsize=9,
    )
    return _png(figure, max_bytes)


def _finish(axes: Axes, timeline: Timeline, tracks: FaceTracks) -> None:
    axes.vlines(
        tracks.times[tracks.cuts],
        0,
        1,
        transform=axes.get_xaxis_transform(),
        color="#555555",
        linewidth=0.7,
        linestyles="dotted",
    )
    axes.set_xlim(timeline.times[0], max(timeline.times[-1], timeline.times[0] + 0.1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def _color(person: Person) -> str:
    return COLORS[person]


def _bgr(person: Person) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(_color(person)[1:])
    return blue, green, red


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes)}:{seconds:04.1f}"


def _fitted(picture: Image, width: int, height: int) -> Image:
    """Shrink a picture so that it fits into a box, with its proportions kept."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(picture: Image, max_bytes: int) -> bytes:
    """The picture as a JPEG of the best quality that fits; where none does, smaller."""
    compact = (cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    while True:
        for quality in (90, 80, 70, 60, 50, 40):
            data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality, *compact))[1].tobytes()
            if len(data) <= max_bytes:
                return data
        picture = _fitted(picture, int(picture.shape[1] * 0.9), picture.shape[0])


def _png(figure: Figure, max_bytes: int) -> bytes:
    """The figure as a PNG, 800 pixels wide; coarser where that would be too large."""
    dpi = 100.0
    while True:
        rendered = BytesIO()
        figure.savefig(rendered, format="png", dpi=dpi, facecolor="white")
        picture = cv2.imdecode(np.frombuffer(rendered.getvalue(), np.uint8), cv2.IMREAD_COLOR)
        # A plot has few colors: with eight levels of each primary it takes half the space, and looks the same.
        levels = np.rint(np.rint(np.asarray(picture, np.float32) * (7 / 255)) * (255 / 7))
        data = cv2.imencode(".png", levels.astype(np.uint8), (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes()
        if len(data) <= max_bytes:
            return data
        dpi *= 0.85
