"""What the numbers of a frame stand for: the color tags that it has, and what players take for those that are missing.

Belongs here: tags and the one rule that completes them. Turning frames of one color into another is `conversion`'s
business. Why tags are completed as they are: docs/color.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

UNKNOWN_RANGE: Final = 0
LIMITED_RANGE: Final = 1
FULL_RANGE: Final = 2

RGB: Final = 0
BT709: Final = 1
UNSPECIFIED: Final = 2
BT601: Final = 6
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


_FORMATS_WITH_COLORS: Final = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mxf", "flv", "nut"}
"""FFmpeg's names of the containers that have color tags of their own."""


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
        return self.matrix in _LUMA

    @property
    def as_sdr(self) -> ColorInfo:
        """What frames of this color, with every tag specified, are turned into: BT.709 of HDR and of BT.2020."""
        return SDR if self.is_hdr or self.primaries == BT2020 else self

    def over(self, other: ColorInfo) -> ColorInfo:
        """These tags, and those of `other` where these are unspecified."""
        return ColorInfo(
            self.range or other.range,
            other.primaries if self.primaries == UNSPECIFIED else self.primaries,
            other.transfer if self.transfer == UNSPECIFIED else self.transfer,
            other.matrix if self.matrix == UNSPECIFIED else self.matrix,
        )

    def looks_as(self, other: ColorInfo) -> bool:
        """Whether the same samples are shown alike; every tag of both is specified, and both matrices are known.

        Players show SDR of other primaries and transfer functions than BT.709's all but alike; so it is kept.
        """
        if self == other:
            return True
        light = [(color.primaries, color.transfer) if color.as_sdr != color else None for color in (self, other)]
        return (self.range, _LUMA[self.matrix], light[0]) == (other.range, _LUMA[other.matrix], light[1])

    def completed(self, lines: int) -> ColorInfo:
        """What players take for these tags: none is unspecified any more.

        Args:
            lines: coded height of the video.
        """
        usual = BT2020 if self.is_hdr else BT709 if lines >= _HD_LINES else BT601
        primaries = usual if self.primaries == UNSPECIFIED else self.primaries
        wide = primaries == BT2020
        transfer, matrix = (BT2020_10_BIT, BT2020) if wide else (usual, usual)
        return ColorInfo(
            self.range or LIMITED_RANGE,
            primaries,
            transfer if self.transfer == UNSPECIFIED else self.transfer,
            matrix if self.matrix == UNSPECIFIED else self.matrix,
        )

    def __str__(self) -> str:
        """For people, such as "HLG BT.2020" or "SDR BT.601 full range"."""
        light = {PQ: "PQ", HLG: "HLG"}.get(self.transfer, "SDR")
        matrix = {BT709: "BT.709", 5: "BT.601", BT601: "BT.601", BT2020: "BT.2020"}.get(
            self.matrix, f"matrix {self.matrix}"
        )
        return f"{light} {matrix}{' full range' if self.range == FULL_RANGE else ''}"

    def yuv(self, color: str) -> tuple[int, int, int]:
        """Y, U and V of a color such as "#1f6fd0"."""
        matrix = self.yuv_to_bgr().astype(np.float64)
        bgr = np.array([*bytes.fromhex(color[1:])][::-1])
        y, u, v = np.rint(np.linalg.solve(matrix[:, :3], bgr - matrix[:, 3])).clip(0, 255).astype(int).tolist()
        return y, u, v

    def yuv_to_bgr(self) -> NDArray[np.float32]:
        """The 3x4 matrix that takes Y, U, V (0..255) to B, G, R (0..255); BT.601 for a matrix that is not known."""
        luma, chroma, offset = (1.0, 1.0, 0.0) if self.range == FULL_RANGE else (255 / 219, 255 / 224, 16.0)
        kr, kb = _LUMA.get(self.matrix, _LUMA[BT601])
        kg = 1 - kr - kb
        b_u = 2 * (1 - kb) * chroma
        r_v = 2 * (1 - kr) * chroma
        rows = np.array([[luma, b_u, 0], [luma, -b_u * kb / kg, -r_v * kr / kg], [luma, 0, r_v]])
        shift = -rows @ np.array([offset, 128, 128])
        return np.column_stack([rows, shift]).astype(np.float32)


SDR: Final = ColorInfo(LIMITED_RANGE, BT709, BT709, BT709)


def container_color(container: InputContainer, stream: VideoStream) -> ColorInfo:
    """The color tags that a container gives a stream; none is specified where containers of its kind have none.

    To be asked before anything is decoded: some decoders put their own in place of them.
    """
    return color_of(stream.codec_context) if container.format.name in _FORMATS_WITH_COLORS else ColorInfo()


def color_of(tagged: VideoFrame | VideoCodecContext) -> ColorInfo:
    """The tags of a decoded frame, or of a codec context.

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


def tags_until_key_frames(decoded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """The same frames, whose color tags change at key frames only.

    An untagged frame that a decoder holds back for reordering comes out with the tags of what is decoded meanwhile.
    """
    last: tuple[int, int, int, int] | None = None
    for frame in decoded:
        tags = int(frame.color_range), int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)
        if last is None or frame.key_frame:
            last = tags
        elif tags != last:
            frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace = last
        yield frame
