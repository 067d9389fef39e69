"""Small JPEGs of source and result: thumbnails, frames with their crop windows, contact sheets.

Belongs here: images made from frames, at most 30 KB each unless said otherwise. Charts are `charts`' and `plots`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.cpu import Compositor
from dualface_core.media.frames import Frame
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Subject
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.findings import clock

Image = NDArray[np.uint8]

MAX_BYTES: Final = 30_000
"""Of an image that goes into the metadata of an asset."""

COLORS: Final = {Subject.A: "#1f6fd0", Subject.B: "#e07b00", Subject.PAIR: "#2e8b57", Subject.FRAME: "#777777"}
"""Of what tiles show, in every image. The persons are blue and orange, which color-blind people can tell apart."""

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
    taken = np.ones(len(first), np.intp)
    while taken.sum() < min(count, length.sum()):
        # The next frame is of the shot in which they are farthest apart.
        taken[np.argmax(np.where(taken < length, length / taken, 0))] += 1
    chosen = [
        int(start + (2 * index + 1) * frames // (2 * number))
        for start, frames, number in zip(first, length, taken, strict=True)
        for index in range(number)
    ]
    return sorted(chosen)


def contact_sheet(frames: Sequence[Frame], plan: TilePlan, *, max_bytes: int = MAX_BYTES) -> bytes:
    """A JPEG of source frames with the tiles' crop windows, and below each of them the canvas made from it.

    Args:
        frames: of the source, such as those of `preview_frames`.
        plan: what each tile shows.
        max_bytes: greatest size of the JPEG.
    """
    columns = min(_SHEET_COLUMNS, len(frames))
    width = (_SHEET_WIDTH - (columns + 1) * _GAP) // columns
    cells = [_cell(frame, plan, width) for frame in frames]
    height = max(cell.shape[0] for cell in cells)
    rows = -(-len(cells) // columns)
    sheet = np.full((_GAP + rows * (height + _GAP), _GAP + columns * (width + _GAP), 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        y, x = _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
        sheet[y : y + cell.shape[0], x : x + width] = cell
    return _jpeg(sheet, max_bytes)


def _cell(frame: Frame, plan: TilePlan, width: int) -> Image:
    source = _marked(frame, plan, width)
    compositor = Compositor(plan.layout, frame.width, frame.height)
    planes = compositor.compose(frame, plan.frame(frame.index))
    composed = _fitted(replace(frame, planes=planes).bgr(2 * width), width)

    cell = np.full((_CAPTION + source.shape[0] + 2 + composed.shape[0], width, 3), 255, np.uint8)
    cv2.putText(cell, clock(frame.time), (0, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    top = _CAPTION
    for image in (source, composed):
        left = (width - image.shape[1]) // 2
        cell[top : top + image.shape[0], left : left + image.shape[1]] = image
        top += image.shape[0] + 2
    return cell


def _marked(frame: Frame, plan: TilePlan, width: int) -> Image:
    image = _fitted(frame.bgr(2 * width), width)
    scale = image.shape[1] / frame.width
    shown = plan.frame(frame.index)
    for slot in np.flatnonzero(shown.tiles[:, 2]):
        x, y, w, h = shown.crop_windows[slot].tolist()
        corners = [round(v * scale) for v in (x - w / 2, y - h / 2, x + w / 2 - 1, y + h / 2 - 1)]
        cv2.rectangle(image, corners[:2], corners[2:], bgr(COLORS[Subject(shown.subjects[slot])]), 2)
    return image


def marked_frame(frame: Frame, plan: TilePlan, *, width: int, max_bytes: int = MAX_BYTES) -> bytes:
    """A JPEG of a source frame with the tiles' crop windows in it.

    Args:
        frame: of the source; its index is its number in the plan.
        plan: what each tile shows.
        width: of the JPEG, in pixels; its height is no greater.
        max_bytes: greatest size of the JPEG.
    """
    return _jpeg(_marked(frame, plan, width), max_bytes)


def thumbnail(frame: Frame, tracks: FaceTracks | None, *, width: int = 640, max_bytes: int = MAX_BYTES) -> bytes:
    """A JPEG of one frame, no wider and no higher than `width`; with tracks, the faces in it are framed and named."""
    image = _fitted(frame.bgr(2 * width), width)
    if tracks is not None:
        scale = image.shape[1] / frame.width
        for person in tracks.people:
            box = tracks.boxes(person)[frame.index] * scale
            if not np.isnan(box[0]):
                x, y, right, bottom = (round(float(v)) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
                color = bgr(COLORS[Subject(person)])
                cv2.rectangle(image, (x, y), (right, bottom), color, 2)
                cv2.putText(image, person, (x, y - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, 2, cv2.LINE_AA)
    return _jpeg(image, max_bytes)


def bgr(color: str) -> tuple[int, int, int]:
    """A color such as "#1f6fd0" in OpenCV's order of channels."""
    red, green, blue = bytes.fromhex(color[1:])
    return blue, green, red


def _fitted(image: Image, side: int) -> Image:
    """An image whose longer side is `side`, with its proportions kept."""
    scale = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: Image, max_bytes: int) -> bytes:
    """The image as a JPEG of the best quality that fits; where none does, smaller."""
    compact = (cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    while True:
        for quality in (90, 80, 70, 60, 50, 40):
            data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality, *compact))[1].tobytes()
            if len(data) <= max_bytes:
                return data
        image = _fitted(image, int(max(image.shape) * 0.9))
