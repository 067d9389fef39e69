"""Small videos of flat patches of known colors, in any coding and with any color tags."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from dualface_core.system.threads import unchanged_scheduling

PATCHES: Final = np.array([(254, 0, 0), (30, 200, 60), (40, 60, 220), (200, 120, 90)], np.uint8)
"""RGB, from left to right: a red that shows any other matrix, and colors of everyday."""

Tags = tuple[int, int, int, int]


def image_of_patches(width: int, height: int) -> NDArray[np.uint8]:
    """RGB: the patches beside one another."""
    return np.repeat(np.repeat(PATCHES[None], width // len(PATCHES), 1), height, 0)


def hdr_of(rgb: NDArray[np.uint8], transfer: int) -> NDArray[np.float64]:
    """R'G'B' of BT.2020, from 0 to 1, that shows an SDR image with its white at 203 cd/m2 (ITU-R BT.2087, BT.2100).

    Args:
        rgb: (..., 3) of SDR, for a display as BT.1886 has it.
        transfer: 16 for PQ, 18 for HLG (on a display of 1000 cd/m2), any other for SDR.
    """
    to_2020 = np.array([(0.6274, 0.3293, 0.0433), (0.0691, 0.9195, 0.0114), (0.0164, 0.0880, 0.8956)])
    light = 203 * (rgb / 255) ** 2.4 @ to_2020.T
    if transfer == 16:
        power = (light / 10_000) ** 0.1593017578125
        return np.asarray(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375, np.float64)
    if transfer == 18:
        luminance = np.maximum(light @ [0.2627, 0.6780, 0.0593] / 1000, 1e-9)[..., None]
        scene = light / 1000 / luminance ** (0.2 / 1.2)
        bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright), np.float64)
    return np.asarray((light / 203) ** (1 / 2.4), np.float64)


def rgb_of_patches(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(patches, RGB): the color in the middle of each patch."""
    height, width = image.shape[:2]
    step = width // len(PATCHES)
    return image[height // 2, step // 2 :: step].astype(np.int64)


def write_patches(
    path: Path,
    *,
    size: tuple[int, int] = (160, 90),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    matrix: int = 5,
    color_range: int = 1,
    tags: Tags | None = None,
    container_tags: Tags | None = None,
    wide: bool = False,
    frames: int = 3,
) -> Path:
    """Write a video of patches.

    Args:
        path: where; its suffix decides on the container.
        size: width and height.
        codec, pixel_format, options: of the encoder.
        matrix, color_range: how RGB is turned into YUV.
        tags: what the video stream says of that: range, primaries, transfer and matrix.
        container_tags: what only the container says.
        wide: whether the patches are coded as BT.2020, with the transfer function of `tags` or else `container_tags`.
        frames: how many, 25 a second.
    """
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec,
            rate=25,
            options=options or ({"b": "4M"} if codec in {"libvpx", "mpeg1video", "mpeg2video"} else {"crf": "4"}),
        )
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        if tags is not None:
            context.color_range, context.color_primaries, context.color_trc, context.colorspace = tags
        with unchanged_scheduling():
            context.open()
        if container_tags is not None:
            context.color_range, context.color_primaries, context.color_trc, context.colorspace = container_tags
        image = av.VideoFrame.from_ndarray(image_of_patches(width, height), format="rgb24")
        if wide:
            signal = hdr_of(image_of_patches(width, height), (tags or container_tags or (0, 0, 0, 0))[2])
            levels = np.rint(65535 * signal).astype(np.uint16)
            image, matrix = av.VideoFrame.from_ndarray(levels, format="gbrp16le"), 9
        for number in range(frames):
            frame = image.reformat(format=pixel_format, dst_colorspace=matrix, dst_color_range=color_range)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
