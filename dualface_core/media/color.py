"""What the numbers of a frame stand for: the color tags that it has, and what players take for those that are missing.

Belongs here: tags and the one rule that completes them. Turning frames of one color into another is the reader's
business. Why tags are completed as they are: docs/color.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

UNKNOWN_RANGE: Final = 0
LIMITED_RANGE: Final = 1
FULL_RANGE: Final = 2

RGB: Final = 0
BT709: Final = 1
UNSPECIFIED: Final = 2
BT601: Final = 6
YCGCO: Final = 8
BT2020: Final = 9

BT2020_10_BIT: Final = 14
PQ: Final = 16
HLG: Final = 18

_HD_LINES: Final = 720
"""From so many lines on, players take BT.709 for what is not tagged, and BT.601 below: Chromium's rule."""

_LUMA: Final = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601 of 625 lines
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),  # SMPTE 240M
    BT2020: (0.2627, 0.0593),
    10: (0.2627, 0.0593),  # BT.2020 of constant luminance, which players show as if it weren't
}
"""Shares of red and of blue in luma, by matrix: ITU-T H.273, table 4."""


@dataclass(frozen=True)
class ColorInfo:
    """Color tags with FFmpeg's numbers (ISO/IEC 23091-2, ITU-T H.273); 2 is unspecified, of the range 0."""

    range: int = UNKNOWN_RANGE
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED

    @property
    def is_hdr(self) -> bool:
        """True for PQ and HLG, whose values must not be shown as if they were SDR."""
        return self.transfer in {PQ, HLG}

    @property
    def matrix_is_known(self) -> bool:
        """Whether `yuv_to_bgr` has the matrix."""
        return self.matrix in _LUMA or self.matrix == YCGCO

    def over(self, other: ColorInfo) -> ColorInfo:
        """These tags, and those of `other` where these are unspecified."""
        return ColorInfo(
            self.range or other.range,
            other.primaries if self.primaries == UNSPECIFIED else self.primaries,
            other.transfer if self.transfer == UNSPECIFIED else self.transfer,
            other.matrix if self.matrix == UNSPECIFIED else self.matrix,
        )

    def completed(self, lines: int) -> ColorInfo:
        """What players take for these tags: none is unspecified any more.

        Args:
            lines: coded height of the video.
        """
        usual = BT709 if lines >= _HD_LINES else BT601
        primaries = usual if self.primaries == UNSPECIFIED else self.primaries
        wide = primaries == BT2020
        transfer, matrix = (BT2020_10_BIT, BT2020) if wide else (usual, usual)
        return ColorInfo(
            self.range or LIMITED_RANGE,
            primaries,
            transfer if self.transfer == UNSPECIFIED else self.transfer,
            matrix if self.matrix == UNSPECIFIED else self.matrix,
        )

    def yuv_to_bgr(self) -> NDArray[np.float32]:
        """The 3x4 matrix that takes Y, U, V (0..255) to B, G, R (0..255); BT.601 for a matrix that is not known."""
        luma, chroma, offset = (1.0, 1.0, 0.0) if self.range == FULL_RANGE else (255 / 219, 255 / 224, 16.0)
        if self.matrix == YCGCO:  # U is green, and V orange
            rows = np.array([[luma, -chroma, -chroma], [luma, chroma, 0], [luma, -chroma, chroma]])
        else:
            kr, kb = _LUMA.get(self.matrix, _LUMA[BT601])
            kg = 1 - kr - kb
            b_u = 2 * (1 - kb) * chroma
            r_v = 2 * (1 - kr) * chroma
            rows = np.array([[luma, b_u, 0], [luma, -b_u * kb / kg, -r_v * kr / kg], [luma, 0, r_v]])
        shift = -rows @ np.array([offset, 128, 128])
        return np.column_stack([rows, shift]).astype(np.float32)


def color_of(tagged: VideoFrame | VideoCodecContext) -> ColorInfo:
    """The tags of a decoded frame; of a codec context, before it decodes, those that the container gives it.

    RGB has those of the YUV that it is read as: its own matrix would make players take the YUV for RGB. A gray frame is
    of full range unless it says otherwise, as FFmpeg has it.
    """
    pixels = tagged.format
    color = ColorInfo(
        int(tagged.color_range), int(tagged.color_primaries), int(tagged.color_trc), int(tagged.colorspace)
    )
    if pixels is None:
        return color
    if pixels.is_rgb or pixels.has_palette:
        return replace(color, range=LIMITED_RANGE, matrix=BT709)
    if pixels.name.startswith(("gray", "ya", "mono")) and not color.range:
        color = replace(color, range=FULL_RANGE)
    # Some H.264 says that it is RGB and is ordinary YUV.
    return replace(color, matrix=UNSPECIFIED) if color.matrix == RGB else color
