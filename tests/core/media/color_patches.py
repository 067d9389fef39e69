"""Small videos of flat patches of known colors, in any coding and with any color tags."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

PATCHES: Final = np.array([(254, 0, 0), (30, 200, 60), (40, 60, 220), (200, 120, 90)], np.uint8)
"""RGB, from left to right: a red that shows any other matrix, and colors of everyday."""

Tags = tuple[int, int, int, int]


def image_of_patches(width: int, height: int) -> NDArray[np.uint8]:
    """RGB: the patches beside one another."""
    return np.repeat(np.repeat(PATCHES[None], width // len(PATCHES), 1), height, 0)


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
        frames: how many, 25 a second.
    """
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "4", "q": "1", "b": "4M", **(options or {})})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        if tags is not None:
            context.color_range, context.color_primaries, context.color_trc, context.colorspace = tags
        context.open()
        if container_tags is not None:
            context.color_range, context.color_primaries, context.color_trc, context.colorspace = container_tags
        image = av.VideoFrame.from_ndarray(image_of_patches(width, height), format="rgb24")
        for number in range(frames):
            frame = image.reformat(format=pixel_format, dst_colorspace=matrix, dst_color_range=color_range)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
