"""From BGR to the planes of a video: what is drawn here is BT.709 in limited range, and tagged so."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.media.color import BT709, ColorInfo
from dualface_core.media.frames import Planes

COLOR: Final = ColorInfo(range=1, primaries=BT709, transfer=BT709, matrix=BT709)
"""Color tags of every sample."""


def bgr_to_planes(bgr: NDArray[np.float32]) -> Planes:
    """Planes of an (H, W, 3) picture with values from 0 to 255; H and W are even."""
    inverse = COLOR.yuv_to_bgr()
    matrix = np.linalg.inv(inverse[:, :3].astype(np.float64))
    to_yuv = np.column_stack([matrix, -matrix @ inverse[:, 3]])
    yuv = cv2.transform(bgr, to_yuv)
    half = cv2.resize(yuv, (bgr.shape[1] // 2, bgr.shape[0] // 2), interpolation=cv2.INTER_AREA)
    luma, u, v = (
        np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in (yuv[..., 0], half[..., 1], half[..., 2])
    )
    return luma, u, v
