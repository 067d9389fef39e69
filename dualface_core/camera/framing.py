"""Where a camera would like its crop window for a face: pure geometry of one frame, without time.

Belongs here: how large the window should be, where in it the face belongs, what it may show and what it must leave out.
The director asks here whether two people can be shown apart. Doesn't: how a camera moves from frame to frame.

Boxes are x, y, width and height; crop windows are center x, center y, width and height; both in pixels of the upright
frame. All functions take one entry per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.face_tracks import Overlay, Shot

Boxes = NDArray[np.float64]
"""(frames, 4), NaN where there is none."""

Values = NDArray[np.float64]
"""(frames,)."""

Edges = tuple[Values, Values, Values, Values]
"""Left, top, right and bottom."""

EYES_IN_BOX: Final = 0.38
"""Height of the eyes within a detector's face box, as a share of the box from its top."""

HEAD: Final = 0.25
"""Room around a face that belongs to its head, hair and ears, as a share of the face box."""

CLOSER: Final = 1.35
"""How much larger than usual a face may become so that its tile leaves somebody else out: .43 of the tile's height, a
close-up."""

ASIDE: Final = 0.2
"""How far from its usual place a face may lie for that, as a share of the crop window's width."""

UP_OR_DOWN: Final = 0.1
"""The same, as a share of the crop window's height."""


_EYE_LINES: Final = (0.1, 0.48)
"""Least and greatest distance of the eyes from the top of a tile, as a share of its height."""

_ROUNDING: Final = 0.01
"""Pixels."""

AROUND: Final = 0.05
"""Share of its width and height that there is around an overlay that a crop window holds."""

WIDER: Final = 1.35
"""How much smaller than usual a face may become so that its tile holds an overlay that it cannot leave out."""

BEFORE_AND_AFTER: Final = 2.5
"""Seconds for which an overlay is held before it comes and after it is gone: the camera opens and closes meanwhile."""

OCCUPIED: Final = 0.7
"""Share of a tile's width or height that the faces of its subject may take together, from the first to the last."""


_SELDOM: Final = 2.0
"""Percent of the frames in which a head may be farther to one side than where room is kept for it."""


@dataclass(frozen=True)
class Sights:
    """What is seen of a tile's subject, a person or several, frame by frame.

    Attributes:
        boxes: (frames, 4) what holds the face or the faces; NaN where nobody is seen.
        face: height of the face, of the largest one if there are several; any number where nobody is seen.
        eyes: how far the eyes are from the top of the frame; between those of several.
        gaze: where a face is turned to, from -1 (a profile that looks to the left) to 1; 0 to the front.
    """

    boxes: Boxes
    face: Values
    eyes: Values
    gaze: Values

    @classmethod
    def of(
        cls, faces: Sequence[Boxes], gaze: Values | None = None, eyes_in_box: Values | float = EYES_IN_BOX
    ) -> Sights:
        """Those of one person or of several.

        Where only some of them are seen, the others count as being between where they were and where they will be.

        Args:
            faces: the face of each person; NaN where it isn't seen.
            gaze: see `Sights`; to the front if None.
            eyes_in_box: how far the eyes are from the top of the face's box, as a share of its height.
        """
        gaze = np.zeros(len(faces[0])) if gaze is None else gaze
        seen = ~np.all([np.isnan(boxes[:, 0]) for boxes in faces], axis=0)
        if not seen.any():
            return cls(faces[0], faces[0][:, 3], faces[0][:, 1], gaze)
        x, y, width, height = np.stack([_filled(boxes) for boxes in faces if not np.isnan(boxes[:, 0]).all()]).T
        left, top = x.min(axis=1), y.min(axis=1)
        right, bottom = (x + width).max(axis=1), (y + height).max(axis=1)
        boxes = np.stack([left, top, right - left, bottom - top], axis=1)
        boxes[~seen] = np.nan
        eyes = y + np.reshape(eyes_in_box, (-1, 1)) * height
        return cls(boxes, height.max(axis=1), eyes.mean(axis=1), gaze)

    def filled(self, times: Values, known: NDArray[np.bool_]) -> Sights:
        """Those of all frames, on straight lines between the known ones."""
        columns = (*self.boxes.T, self.face, self.eyes)
        *boxes, face, eyes = (np.interp(times, times[known], column[known]) for column in columns)
        return Sights(np.stack(boxes, axis=1), face, eyes, self.gaze)


@dataclass(frozen=True)
class Composition:
    """What the tiles of a split have in common, as far as their sources allow; NaN where a tile is on its own.

    Attributes:
        face: (frames,) height of the face, as a share of the tile's height.
        eyes: (frames,) distance of the eyes from the top, as a share of the tile's height.
    """

    face: Values
    eyes: Values


@dataclass(frozen=True)
class Framing:
    """What a tile may show of each frame.

    Attributes:
        bounds: (frames, 4) boxes that the crop window must stay inside.
        aspect: width of the tile divided by its height; one for all frames, or (frames,).
        tile_height: in pixels of the canvas; one for all frames, or (frames,).
        parameters: of the cameras.
        composition: what the tile has in common with another one; None if it is on its own.
        included: (frames, 4) boxes that the crop window must hold besides, NaN where there is none; None if there never
            is one.
    """

    bounds: Boxes
    aspect: float | Values
    tile_height: int | Values
    parameters: CameraParameters
    composition: Composition | None = None
    included: Boxes | None = None

    def part(self, frames: slice) -> Framing:
        """That of some of the frames, which has no composition."""
        aspect, height = (np.broadcast_to(part, len(self.bounds))[frames] for part in (self.aspect, self.tile_height))
        included = None if self.included is None else self.included[frames]
        return Framing(self.bounds[frames], aspect, height, self.parameters, included=included)

    @property
    def rows(self) -> Values:
        """The height of the tile, in pixels of the canvas."""
        return np.broadcast_to(np.asarray(self.tile_height, np.float64), len(self.bounds))

    @property
    def widest(self) -> Values:
        """The greatest height of a crop window."""
        return np.minimum(self.bounds[:, 3], self.bounds[:, 2] / self.aspect)

    @property
    def closest(self) -> Values:
        """The least height of a crop window."""
        closest = np.minimum(self.tile_height / self.parameters.max_upscale, self.widest * self.parameters.closest)
        return np.clip(self._including, closest, self.widest)

    @property
    def _including(self) -> Values:
        """The least height of a crop window that holds what it must besides the faces; 0 where there is nothing."""
        if self.included is None:
            return np.zeros(len(self.bounds))
        return np.nan_to_num(np.maximum(self.included[:, 3], self.included[:, 2] / self.aspect))

    def least(self, boxes: Boxes) -> Values:
        """The least height of a crop window that holds all that it must; it may exceed the widest."""
        x0, y0, x1, y1 = self.kept(boxes)
        return np.maximum(np.maximum(y1 - y0, (x1 - x0) / self.aspect), np.minimum(self._including, self.widest))

    def kept(self, boxes: Boxes) -> Edges:
        """Left, top, right and bottom of what a tile must show of the faces: with their margin, inside the bounds."""
        left, top, width, height = self.bounds.T
        x0, y0, x1, y1 = edges(boxes, self.parameters.face_margin)
        right, bottom = left + width, top + height
        return np.clip(x0, left, right), np.clip(y0, top, bottom), np.clip(x1, left, right), np.clip(y1, top, bottom)

    def wanted(self, boxes: Boxes) -> Boxes:
        """Crop windows that frame the faces as they should be, inside the bounds."""
        sights = Sights.of([boxes])
        return self.placed(sights, self.wanted_height(sights))

    def wanted_height(self, sights: Sights) -> Values:
        """The height of a crop window in which the faces have their size, and room if there are several."""
        _, _, width, height = sights.boxes.T
        room = np.maximum(height, width / self.aspect) / OCCUPIED
        size = self._composed("face", np.full(len(room), self.parameters.face_height))
        height = np.clip(np.maximum(sights.face / size, room), self.closest, self.widest)
        return np.clip(self.least(sights.boxes), height, self.widest)

    def leaving_out(self, boxes: Boxes, others: Boxes) -> Boxes:
        """Crop windows that frame the faces as they should be, but hold nothing of another one's head.

        They lie aside of where they should or are closer, within limits of good framing, and NaN where that isn't
        enough. Where there is no other face, or no need, they are as wanted.

        Args:
            boxes: the faces to frame.
            others: the faces to leave out; NaN where there are none.
        """
        wanted = self.wanted(boxes)
        x0, y0, x1, y1 = edges(others, HEAD)
        needless = ~self._inside_bounds(others) | ~overlap(wanted, (x0, y0, x1, y1))
        fitting = self._beside(boxes, others)
        side = np.argmax(fitting, axis=0)
        size = np.minimum(wanted[:, 3], fitting[side, np.arange(len(side))])
        closer = np.clip(self.least(boxes), wanted[:, 3] / CLOSER, self.widest)
        possible = size >= np.maximum(self.closest, closer) - 1e-6

        found = self.placed(Sights.of([boxes]), np.where(possible, size, wanted[:, 3]))
        half_width, half_height = found[:, 2] / 2, found[:, 3] / 2
        _, upper, _, lower = self.kept(boxes)
        found[:, 1] = np.where(possible, np.clip(found[:, 1], lower - half_height, upper + half_height), found[:, 1])
        found[:, 0] = np.where(side == 0, np.minimum(found[:, 0], x0 - half_width), found[:, 0])
        found[:, 0] = np.where(side == 1, np.maximum(found[:, 0], x1 + half_width), found[:, 0])
        found[:, 1] = np.where(side == 2, np.minimum(found[:, 1], y0 - half_height), found[:, 1])
        found[:, 1] = np.where(side == 3, np.maximum(found[:, 1], y1 + half_height), found[:, 1])
        return np.where(needless[:, None], wanted, np.where(possible[:, None], found, np.nan))

    def widest_without(self, boxes: Boxes, others: Boxes) -> Values:
        """The greatest height of a crop window that holds a face but nothing of another one's head.

        The face may lie aside as far as in `leaving_out`. Infinite where there is no other one, and less than nothing
        where it cannot be left out.
        """
        return np.where(self._inside_bounds(others), self._beside(boxes, others).max(axis=0), np.inf)

    def _inside_bounds(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Whether the bounds hold anything of each box."""
        left, top, width, height = self.bounds.T
        return overlap(np.stack([left + width / 2, top + height / 2, width, height], axis=1), edges(boxes, 0.0))

    def _beside(self, boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
        """The greatest height of a window that leaves out another head on its right, left, lower and upper side."""
        x0, y0, x1, y1 = edges(others, HEAD)
        left, top, width, height = self.bounds.T
        center_x, eyes = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + EYES_IN_BOX * boxes[:, 3]
        above, below = self.parameters.eye_line - UP_OR_DOWN, 1 - self.parameters.eye_line - UP_OR_DOWN
        near = self.kept(boxes)
        # Per side on which the other face may be left out: the greatest height with the window's edge beside it, and
        # the room between that edge and the face.
        sides = np.array(
            [
                [np.minimum((x0 - center_x) / (0.5 - ASIDE), x0 - left) / self.aspect, x0 - near[2]],
                [np.minimum((center_x - x1) / (0.5 - ASIDE), left + width - x1) / self.aspect, near[0] - x1],
                [np.minimum((y0 - eyes) / below, y0 - top), y0 - near[3]],
                [np.minimum((eyes - y1) / above, top + height - y1), near[1] - y1],
            ]
        )
        return np.where(sides[:, 1] >= 0, np.nan_to_num(sides[:, 0], nan=-np.inf), -np.inf)

    def placed(self, sights: Sights, height: Values) -> Boxes:
        """Windows of these heights with the faces where they belong, or as near to it as the bounds allow."""
        lead = self.parameters.lead_room * sights.gaze * self.aspect * height
        eye_line = self._composed("eyes", self.eye_line(sights.face / height))
        x = sights.boxes[:, 0] + sights.boxes[:, 2] / 2 + lead
        return self.including(self.inside(x, sights.eyes + (0.5 - eye_line) * height, height))

    def including(self, windows: Boxes) -> Boxes:
        """The same windows, moved as little as possible to hold what they must besides the faces."""
        if self.included is None:
            return windows
        moved = windows.copy()
        for axis, (near, far) in enumerate(self.centers(windows[:, 3])):
            moved[:, axis] = np.where(
                near <= far, np.clip(windows[:, axis], near, np.maximum(near, far)), moved[:, axis]
            )
        return moved

    def centers(self, height: Values) -> list[tuple[Values, Values]]:
        """For both axes, between what centers windows of these heights hold what they must besides the faces.

        Infinitely far apart where there is nothing, and the far one first where a window is too small for it.
        """
        sizes = self.aspect * height, height
        if self.included is None:
            return [(np.full(len(height), -np.inf), np.full(len(height), np.inf))] * 2
        return [
            (np.nan_to_num(far - size / 2, nan=-np.inf), np.nan_to_num(near + size / 2, nan=np.inf))
            for near, far, size in zip(self.included[:, :2].T, _ends(self.included).T, sizes, strict=True)
        ]

    def eye_line(self, face: Values) -> Values:
        """How far the eyes are from the top, as a share of the tile's height: the smaller the face, the less headroom.

        Args:
            face: height of the face, as a share of the tile's height.
        """
        line = self.parameters.eye_line * np.sqrt(face / self.parameters.face_height)
        return np.asarray(np.clip(line, *_EYE_LINES))

    def _composed(self, name: str, otherwise: Values) -> Values:
        """What is agreed on, or else something else."""
        if self.composition is None:
            return otherwise
        agreed: Values = getattr(self.composition, name)
        return np.where(np.isnan(agreed), otherwise, agreed)

    @property
    def whole(self) -> Boxes:
        """The largest crop windows, in the middle of the bounds."""
        left, top, width, height = self.bounds.T
        return self.inside(left + width / 2, top + height / 2, self.widest)

    def shows(self, windows: Boxes, boxes: Boxes) -> NDArray[np.bool_]:
        """Whether each crop window holds the faces with their margin, or as much of them as the widest one could."""
        x, y, width, height = windows.T
        left, top, right, bottom = self.kept(boxes)
        missing = [x - width / 2 - left, right - x - width / 2, y - height / 2 - top, bottom - y - height / 2]
        too_large = self.least(boxes) > self.widest
        return np.asarray((np.max(missing, axis=0) < _ROUNDING) | too_large)

    def inside(self, x: Values, y: Values, height: Values) -> Boxes:
        """Windows of these heights, as near to these centers as the bounds allow."""
        left, top, width, tall = self.bounds.T
        half_width, half_height = self.aspect * height / 2, height / 2
        x = np.clip(x, left + half_width, left + width - half_width)
        y = np.clip(y, top + half_height, top + tall - half_height)
        return np.stack([x, y, 2 * half_width, height], axis=1)


def bounds(shot: Shot, boxes: Boxes, frame_size: tuple[int, int]) -> Boxes:
    """What a camera may show of each frame of a shot: (frames, 4) boxes.

    The pane that holds the middle of the face, or else the active picture, or else the frame.

    Args:
        shot: which the frames are of.
        boxes: the faces, in the shot's frames.
        frame_size: width and height of the frame.
    """
    picture = (0.0, 0.0, *map(float, frame_size)) if shot.picture is None else shot.picture
    result = np.tile(np.array(picture), (len(boxes), 1))
    x, y = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3] / 2
    for pane in sorted(shot.panes, key=lambda pane: -pane[2] * pane[3]):  # a pane inside another one comes last
        left, top, width, height = pane
        result[(x >= left) & (x < left + width) & (y >= top) & (y < top + height)] = pane
    return result


def laid_over(shot: Shot, pane: Values, first: float, last: float) -> list[Overlay]:
    """What lies over a part of a shot's picture: captions and the like, between two times, and the boxes inside it."""
    left, top, right, bottom = (*pane[:2], *(pane[:2] + pane[2:]))
    inside = [
        Overlay(box=(x, y, width, height))
        for x, y, width, height in shot.panes
        if x >= left and y >= top and x + width <= right and y + height <= bottom and width * height < pane[2] * pane[3]
    ]
    return [overlay for overlay in shot.overlays if overlay.during(first, last)] + inside


@dataclass(frozen=True)
class Clearing:
    """How a camera deals with what is laid over the picture.

    Attributes:
        bounds: (4,) box that it stays inside, so that the rest is left out.
        held: what its window holds whole.
    """

    bounds: Values
    held: list[Overlay]

    def included(self, times: Values) -> Boxes | None:
        """What must be in a window at each time: (frames, 4) boxes around all of it; see `Framing`."""
        if not self.held:
            return None
        corners = np.full((len(times), 4), np.nan)
        for overlay in self.held:
            there = (times >= (overlay.begin or -np.inf) - BEFORE_AND_AFTER) & (
                times <= (np.inf if overlay.end is None else overlay.end + BEFORE_AND_AFTER)
            )
            x0, y0, x1, y1 = _with_room(overlay, self.bounds)
            corners[there, :2] = np.fmin(corners[there, :2], (x0, y0))
            corners[there, 2:] = np.fmax(corners[there, 2:], (x1, y1))
        return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def clear_of(
    overlays: Sequence[Overlay],
    bounds: Values,
    faces: Sequence[Boxes],
    tile: tuple[float, float],
    camera: CameraParameters,
) -> Clearing:
    """The largest part of some bounds that holds the faces throughout, and no part of what is laid over the picture.

    An overlay is held where the usual crop window holds it whole. It is held, too, by a wider one, where its absence
    would cut a head or make a face larger than in a close-up, and its presence makes no face too small. Else it is cut.

    Args:
        overlays: where they are.
        bounds: (4,) box of what a camera may show.
        faces: those that are to be framed, some of which are seen in some frame.
        tile: its width and height, in pixels of the canvas.
        camera: the parameters of the cameras.
    """
    seen = [boxes[~np.isnan(boxes[:, 0])] for boxes in faces]
    aspect = tile[0] / tile[1]
    framing = Framing(bounds[None], aspect, np.array([tile[1]]), camera)
    sights = Sights.of([np.median(boxes, axis=0)[None] for boxes in seen if len(boxes)])
    usual = framing.placed(sights, framing.wanted_height(sights))
    face = max(float(np.median(boxes[:, 3])) for boxes in seen if len(boxes))
    heads = np.concatenate([np.stack(edges(boxes, HEAD), axis=1) for boxes in seen])
    left, top, right, bottom = (bounds[0], bounds[1], bounds[0] + bounds[2], bounds[1] + bounds[3])
    near = np.clip(np.percentile(heads[:, :2], _SELDOM, axis=0), (left, top), (right, bottom))
    far = np.clip(np.percentile(heads[:, 2:], 100 - _SELDOM, axis=0), (left, top), (right, bottom))
    most = min(WIDER * float(usual[0, 3]), float(framing.widest[0]))
    held = []
    for overlay in sorted(overlays, key=lambda overlay: -overlay.box[2] * overlay.box[3]):
        x, y, width, height = overlay.box
        if not (x < right and x + width > left and y < bottom and y + height > top):
            continue
        parts = [(left, top, x, bottom), (x + width, top, right, bottom)]
        parts += [(left, top, right, y), (left, y + height, right, bottom)]
        heights = [
            min(part[3] - part[1], (part[2] - part[0]) / aspect)
            if (near >= part[:2]).all() and (far <= part[2:]).all()
            else 0.0
            for part in parts
        ]
        whole = _with_room(overlay, bounds)
        around = np.minimum(near, whole[:2]), np.maximum(far, whole[2:])
        inside = (around[0] >= (left, top)).all() and (around[1] <= (right, bottom)).all()
        holdable = inside and max((around[1] - around[0]) / (aspect, 1.0)) <= most
        if holds(usual, edges(np.array([overlay.box]), AROUND))[0]:
            pass
        elif max(heights) >= max(face / (camera.face_height * CLOSER), *(far - near) / (aspect, 1.0)):
            left, top, right, bottom = parts[int(np.argmax(heights))]
            continue
        if holdable:
            near, far = around
            held.append(overlay)
    return Clearing(np.array([left, top, right - left, bottom - top]), held)


def _with_room(overlay: Overlay, bounds: Values) -> Values:
    """Left, top, right and bottom of an overlay with some room around it, inside the bounds."""
    low, high = bounds[:2], bounds[:2] + bounds[2:]
    x0, y0, x1, y1 = np.ravel(edges(np.array([overlay.box]), AROUND))
    return np.concatenate([np.clip((x0, y0), low, high), np.clip((x1, y1), low, high)])


def edges(boxes: Boxes, margin: float) -> Edges:
    """Left, top, right and bottom of boxes with a margin around them, as a share of the box."""
    x, y, width, height = boxes.T
    return x - margin * width, y - margin * height, x + (1 + margin) * width, y + (1 + margin) * height


def overlap(windows: Boxes, edges: Edges) -> NDArray[np.bool_]:
    """Whether each window holds anything of what lies between these edges."""
    x, y, width, height = windows.T
    left, top, right, bottom = edges
    inside: NDArray[np.bool_] = (
        (left < x + width / 2) & (right > x - width / 2) & (top < y + height / 2) & (bottom > y - height / 2)
    )
    return inside


def holds(windows: Boxes, edges: Edges) -> NDArray[np.bool_]:
    """Whether each window holds all of what lies between these edges."""
    x, y, width, height = windows.T
    left, top, right, bottom = edges
    width, height = width + 2 * _ROUNDING, height + 2 * _ROUNDING
    whole: NDArray[np.bool_] = (
        (left >= x - width / 2) & (right <= x + width / 2) & (top >= y - height / 2) & (bottom <= y + height / 2)
    )
    return whole


def _filled(boxes: Boxes) -> Boxes:
    """The same boxes, on straight lines where there is none."""
    known = np.flatnonzero(~np.isnan(boxes[:, 0]))
    return np.stack([np.interp(np.arange(len(boxes)), known, column[known]) for column in boxes.T], axis=1)


def _ends(boxes: Boxes) -> NDArray[np.float64]:
    """The right and lower ends of boxes: (frames, 2)."""
    return np.asarray(boxes[:, :2] + boxes[:, 2:])
