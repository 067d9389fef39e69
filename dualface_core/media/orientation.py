"""Orientation: how a coded frame is mirrored and turned to be upright, as its display matrix says.

Belongs here: reading the matrix, which containers have for a whole stream and H.264 and HEVC in an SEI message, and
applying it to planes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import atan2, degrees
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from dualface_core.media.frames import Planes, Siting


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which a rectangle fits onto itself or onto its transpose.

    Attributes:
        rotation: degrees counter-clockwise: 0, 90, 180 or 270.
        mirrored: whether left and right are exchanged before that.
    """

    rotation: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """That of a decoded frame; an angle that is none of the four counts as the nearest of them."""
        side_data = cast(SideDataContainer, frame.side_data)  # which PyAV's type stubs don't know
        if Type.DISPLAYMATRIX not in side_data:
            return cls()
        # Coded x, y are shown at a * x + c * y, b * x + d * y, with y downward.
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(side_data[Type.DISPLAYMATRIX]))
        mirrored = a * d - b * c < 0
        angle = degrees(atan2(b, -a) if mirrored else atan2(-b, a))
        return cls(round(angle / 90) % 4 * 90, mirrored)

    @property
    def transposes(self) -> bool:
        """Whether width and height are exchanged."""
        return self.rotation % 180 == 90

    def upright(self, planes: Planes) -> Planes:
        """Planes of a coded frame as they are to be seen; the same ones if nothing is to be done."""
        if self == Orientation():
            return planes
        y, u, v = map(self._upright, planes)
        return y, u, v

    def siting(self, siting: Siting, width: int, height: int) -> Siting:
        """That of the chroma of upright planes, from that of a coded frame of `width` and `height`."""
        x, y = siting
        if self.mirrored:
            x = _mirrored(x, width)
        for _ in range(self.rotation // 90):
            x, y = y, _mirrored(x, width)
            width, height = height, width
        return x, y

    def _upright(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.rot90(plane[:, ::-1] if self.mirrored else plane, self.rotation // 90))


def _mirrored(offset: float, samples: int) -> float:
    """Where a chroma sample lies when an axis of so many luma samples is reversed; the last of them may stand alone."""
    return 1 - samples % 2 - offset
