"""Where a camera would like its crop window for a face: pure geometry of one frame, without time.

Belongs here: how large the window should be, where in it the face belongs, what it may show and what it must leave out.
The director asks here whether two people can be shown apart. Doesn't: how a camera moves from frame to frame.

Boxes are x, y, width and height; crop windows are center x, center y, width and height; both in pixels of the upright
frame. All functions take one entry per frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.face_tracks import Shot

Boxes = NDArray[np.float64]
"""(frames, 4), NaN where there is none."""

Values = NDArray[np.float64]
"""(frames,)."""

Edges = tuple[Values, Values, Values, Values]
"""Left, top, right and bottom."""

EYES_IN_BOX: Final = 0.38
"""Height of the eyes within a detector's face box, as a share of the box from its top."""

_HEAD: Final = 0.25
"""Room around a face that belongs to its head, hair and ears, as a share of the face box."""

_CLOSER: Final = 1.35
"""How much larger than usual a face may become so that its tile leaves somebody else out: .43 of the tile's height, a
close-up."""

_ASIDE: Final = 0.2
"""How far from its usual place a face may lie for that, as a share of the crop window's width."""

_UP_OR_DOWN: Final = 0.1
"""The same, as a share of the crop window's height."""


@dataclass(frozen=True)
class Framing:
    """What a tile may show of each frame.

    Attributes:
        bounds: (frames, 4) boxes that the crop window must stay inside.
        aspect: width of the tile divided by its height.
        tile_height: in pixels of the canvas.
        parameters: of the cameras.
    """

    bounds: Boxes
    aspect: float
    tile_height: int
    parameters: CameraParameters

    @property
    def widest(self) -> Values:
        """The greatest height of a crop window."""
        return np.minimum(self.bounds[:, 3], self.bounds[:, 2] / self.aspect)

    @property
    def closest(self) -> Values:
        """The least height of a crop window."""
        return np.minimum(self.tile_height / self.parameters.max_upscale, self.widest * self.parameters.closest)

    def least(self, boxes: Boxes) -> Values:
        """The least height of a crop window that holds the faces with their margin; it may exceed the widest."""
        x0, y0, x1, y1 = self.kept(boxes)
        return np.maximum(y1 - y0, (x1 - x0) / self.aspect)

    def kept(self, boxes: Boxes) -> Edges:
        """Left, top, right and bottom of what a tile must show of the faces: with their margin, inside the bounds."""
        left, top, width, height = self.bounds.T
        x0, y0, x1, y1 = _edges(boxes, self.parameters.face_margin)
        right, bottom = left + width, top + height
        return np.clip(x0, left, right), np.clip(y0, top, bottom), np.clip(x1, left, right), np.clip(y1, top, bottom)

    def wanted(self, boxes: Boxes) -> Boxes:
        """Crop windows that frame the faces as they should be, inside the bounds."""
        height = np.clip(boxes[:, 3] / self.parameters.face_height, self.closest, self.widest)
        return self._placed(boxes, np.clip(self.least(boxes), height, self.widest))

    def leaving_out(self, boxes: Boxes, others: Boxes) -> Boxes:
        """Crop windows that frame the faces as they should be, but hold nothing of another one's head.

        They lie aside of where they should or are closer, within limits of good framing, and NaN where that isn't
        enough. Where there is no other face, or no need, they are as wanted.

        Args:
            boxes: the faces to frame.
            others: the faces to leave out; NaN where there are none.
        """
        wanted = self.wanted(boxes)
        x0, y0, x1, y1 = _edges(others, _HEAD)
        left, top, width, height = self.bounds.T
        pane = np.stack([left + width / 2, top + height / 2, width, height], axis=1)
        needless = ~_overlap(pane, _edges(others, 0.0)) | ~_overlap(wanted, (x0, y0, x1, y1))
        center_x, eyes = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + EYES_IN_BOX * boxes[:, 3]
        above, below = self.parameters.eye_line - _UP_OR_DOWN, 1 - self.parameters.eye_line - _UP_OR_DOWN
        near = self.kept(boxes)
        # Per side on which the other face may be left out: the greatest height with the window's edge beside it, and
        # the room between that edge and the face.
        sides = np.array(
            [
                [np.minimum((x0 - center_x) / (0.5 - _ASIDE), x0 - left) / self.aspect, x0 - near[2]],
                [np.minimum((center_x - x1) / (0.5 - _ASIDE), left + width - x1) / self.aspect, near[0] - x1],
                [np.minimum((y0 - eyes) / below, y0 - top), y0 - near[3]],
                [np.minimum((eyes - y1) / above, top + height - y1), near[1] - y1],
            ]
        )
        fitting = np.where(sides[:, 1] >= 0, sides[:, 0], -np.inf)
        side = np.argmax(np.where(np.isnan(fitting), -np.inf, fitting), axis=0)
        size = np.minimum(wanted[:, 3], fitting[side, np.arange(len(side))])
        closer = np.clip(self.least(boxes), wanted[:, 3] / _CLOSER, self.widest)
        possible = size >= np.maximum(self.closest, closer) - 1e-6

        found = self._placed(boxes, np.where(possible, size, wanted[:, 3]))
        half_width, half_height = found[:, 2] / 2, found[:, 3] / 2
        found[:, 0] = np.where(side == 0, np.minimum(found[:, 0], x0 - half_width), found[:, 0])
        found[:, 0] = np.where(side == 1, np.maximum(found[:, 0], x1 + half_width), found[:, 0])
        found[:, 1] = np.where(side == 2, np.minimum(found[:, 1], y0 - half_height), found[:, 1])
        found[:, 1] = np.where(side == 3, np.maximum(found[:, 1], y1 + half_height), found[:, 1])
        return np.where(needless[:, None], wanted, np.where(possible[:, None], found, np.nan))

    def _placed(self, boxes: Boxes, height: Values) -> Boxes:
        """Windows of these heights with each face where it belongs, or as near to it as the bounds allow."""
        left, top, width, tall = self.bounds.T
        x = boxes[:, 0] + boxes[:, 2] / 2
        y = boxes[:, 1] + EYES_IN_BOX * boxes[:, 3] + (0.5 - self.parameters.eye_line) * height
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


def _edges(boxes: Boxes, margin: float) -> Edges:
    """Left, top, right and bottom of boxes with a margin around them, as a share of the box."""
    x, y, width, height = boxes.T
    return x - margin * width, y - margin * height, x + (1 + margin) * width, y + (1 + margin) * height


def _overlap(windows: Boxes, edges: Edges) -> NDArray[np.bool_]:
    """Whether each window holds anything of what lies between these edges."""
    x, y, width, height = windows.T
    left, top, right, bottom = edges
    inside: NDArray[np.bool_] = (
        (left < x + width / 2) & (right > x - width / 2) & (top < y + height / 2) & (bottom > y - height / 2)
    )
    return inside
