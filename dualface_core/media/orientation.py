"""Orientation: how a coded frame is mirrored and turned to be upright, as its display matrix says.

Belongs here: reading the matrix, which containers have for a whole stream and H.264 and HEVC in an SEI message, and
applying it to planes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import atan2, degrees
from typing import Final, cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from dualface_core.media.frames import Planes, Siting

_EXACT: Final = 1.0
"""Degrees by which an angle may be beside a quarter turn: numbers of a matrix are rounded."""


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
        angle, mirrored = _stated(frame)
        return cls(round(angle / 90) % 4 * 90, mirrored)

    @property
    def transposes(self) -> bool:
        """Whether width and height are exchanged."""
        return self.rotation % 180 == 90

    def upright(self, planes: Planes) -> Planes:
        """Planes of a coded frame as they are to be seen; the same ones if nothing is to be done."""
        if self == _UPRIGHT:
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


_UPRIGHT: Final = Orientation()


def orientation_notes(frame: VideoFrame) -> Iterator[str]:
    """What of a decoded frame's display matrix is not followed, for people."""
    angle, _ = _stated(frame)
    if abs(angle - 90 * round(angle / 90)) > _EXACT:
        turned = round(angle / 90) % 4 * 90
        yield (
            f"The file asks players to turn its frames by {angle % 360:.0f} degrees counter-clockwise; they are turned "
            f"by {turned}, the nearest quarter turn."
        )


def _stated(frame: VideoFrame) -> tuple[float, bool]:
    """What the display matrix of a frame says: degrees counter-clockwise, and whether it is mirrored before that."""
    side_data = cast(SideDataContainer, frame.side_data)  # which PyAV's type stubs don't know
    if Type.DISPLAYMATRIX not in side_data:
        return 0.0, False
    # Coded x, y are shown at a * x + c * y, b * x + d * y, with y downward.
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(side_data[Type.DISPLAYMATRIX]))
    mirrored = a * d - b * c < 0
    return degrees(atan2(b, -a) if mirrored else atan2(-b, a)), mirrored


def _mirrored(offset: float, samples: int) -> float:
    """Where a chroma sample lies when an axis of so many luma samples is reversed; the last of them may stand alone."""
    return 1 - samples % 2 - offset
