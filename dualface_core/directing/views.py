"""What a crop window would show of a shot if a camera framed some faces for a tile of some size.

Belongs here: the framing of every frame by itself, as the camera would like it, and what its edges would go through.
What that costs is `prospects`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.camera.company import Other, aside
from dualface_core.camera.framing import (
    AROUND,
    Boxes,
    Framing,
    Sights,
    bounds,
    clear_of,
    edges,
    holds,
    laid_over,
    overlap,
)
from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.face_tracks import Shot

Mask = NDArray[np.bool_]
"""(frames,)."""

_TOUCHED: Final = 0.01
"""Share of an overlay's width and height at its border that may be in a window: it is found to a pixel or two."""


@dataclass(frozen=True)
class Views:
    """The views of one shot.

    Attributes:
        shot: of which.
        times: when each of its frames begins, and when the last one ends.
        frame_size: width and height of a frame, in pixels.
        others: anyone else who is in it.
        camera: how cameras frame.
    """

    shot: Shot
    times: NDArray[np.float64]
    frame_size: tuple[int, int]
    others: Sequence[Other]
    camera: CameraParameters

    def framing(self, faces: Sequence[Boxes], size: tuple[int, int]) -> Framing:
        """What a tile of this width and height may show of these faces."""
        aspect = size[0] / size[1]
        room = bounds(self.shot, faces[0], self.frame_size)
        for boxes in faces[1:]:
            apart = (room != bounds(self.shot, boxes, self.frame_size)).any(axis=1)
            room[apart] = bounds(self.shot, np.full((1, 4), np.nan), self.frame_size)
        included = np.full_like(room, np.nan)
        if not np.isnan(faces[0][:, 0]).all():
            for pane in np.unique(room, axis=0):
                here = (room == pane).all(axis=1)
                overlays = laid_over(self.shot, pane, self.times[0], self.times[-1])
                clearing = clear_of(overlays, pane, [boxes[here] for boxes in faces], size, self.camera)
                room[here] = clearing.bounds
                if (held := clearing.included(self.times[:-1][here])) is not None:
                    included[here] = held
        return Framing(room, aspect, size[1], self.camera, included=included)

    def cut(self, faces: Sequence[Boxes], size: tuple[int, int]) -> Mask:
        """Where an edge of the window would go through what is laid over the picture, a box or somebody else's face."""
        cut = np.zeros(len(faces[0]), bool)
        if not (self.others or self.shot.overlays or self.shot.panes):
            return cut
        sights = Sights.of(faces)
        framing = self.framing(faces, size)
        windows = aside(framing.placed(sights, framing.wanted_height(sights)), framing, sights.boxes, self.others)
        for other in self.others:
            face = edges(other.boxes, 0.0)
            cut[other.frames] |= overlap(windows[other.frames], face) & ~holds(windows[other.frames], face)
        for overlay in self.shot.overlays:
            there = np.ones(len(windows), bool)
            if overlay.begin is not None:
                there &= self.times[1:] >= overlay.begin
            if overlay.end is not None:
                there &= self.times[:-1] <= overlay.end
            box = np.tile(overlay.box, (len(windows), 1))
            cut |= there & overlap(windows, edges(box, -_TOUCHED)) & ~holds(windows, edges(box, AROUND))
        x, y, width, height = windows.T
        for pane in self.shot.panes:
            box = np.tile(pane, (len(windows), 1))
            within = holds(_middle(box), (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
            cut |= overlap(windows, edges(box, -_TOUCHED)) & ~holds(windows, edges(box, -_TOUCHED)) & ~within
        return cut


def _middle(boxes: Boxes) -> Boxes:
    """Boxes as windows: center x, center y, width and height."""
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
