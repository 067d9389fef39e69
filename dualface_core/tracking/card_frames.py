"""Frames on a card as tracking sees them: it makes what is looked at, and nothing else of them comes to the host.

Belongs here: what the kernels of `card_frames.cu` are told. A `CardFrame` gives what `shots.make_thumbnail` and a
`Frame` give on the processor, bit for bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.media.cuda_frames import CudaFrame, NotOnCardError, in_flight
from dualface_core.media.frames import shrunk_size
from dualface_core.media.probe import VideoInfo
from dualface_core.system.cuda import Card, DeviceMemory, Mark
from dualface_core.tracking.shots import THUMBNAIL, thumbnail_blocks

PTX: Final = Path(__file__).with_name("card_frames.ptx")
"""The kernels, compiled."""

_SHARING, _PIXELS, _MOST_HALVINGS = 4, 128, 4
"""What `card_frames.cu` has by the same names, and says."""


class ThumbnailJob(ctypes.Structure):
    """`Thumbnail` of the kernel `thumbnail`."""

    _fields_ = (
        ("luma", ctypes.c_uint64),
        *((name, ctypes.c_int) for name in ("pitch", "apart", "width", "height", "rows")),
        ("made", ctypes.c_uint64),
    )


class _View(ctypes.Structure):
    _fields_ = (
        ("plane", ctypes.c_uint64),
        *((name, ctypes.c_int) for name in ("pitch", "apart", "columns", "rows")),
        *((name, ctypes.c_int) for name in ("x", "y", "width", "height", "halvings", "area")),
        *((name, ctypes.c_double) for name in ("across", "down")),
    )


class ImageJob(ctypes.Structure):
    """`Image` of the kernel `image`."""

    _fields_ = (
        ("views", _View * 3),
        *((name, ctypes.c_int) for name in ("colors", "width", "height")),
        ("matrix", ctypes.c_int * 4 * 3),
        ("made", ctypes.c_uint64),
    )


class _Images:
    """Makes what is asked for of the frames of one video, one after the other. Raises CudaError, NotOnCardError."""

    def __init__(self, card: Card, video: VideoInfo) -> None:
        self._card = card
        self._thumbnail, self._image = card.kernels(PTX.read_bytes(), "thumbnail", "image")
        self._done = Mark(card)
        self._memory: DeviceMemory | None = None
        self._host = np.empty(0, np.uint8)
        self._blocks = width, height, rows = thumbnail_blocks(video.width, video.height)
        step = 2 if width % 2 == rows % 2 == 0 else 1
        # OpenCV reckons with inverses, and takes another way where they don't come out even.
        if not (width and height and all(1 / (step / side) == side // step for side in (width, rows))):
            raise NotOnCardError(f"Thumbnails of frames of {video.width}x{video.height} are made by the processor.")
        matrix = video.color.yuv_to_bgr()
        matrix[:, 3] += 0.5
        self._matrix = np.rint(matrix * np.float32(1024)).astype(int).tolist()  # as cv2.transform has it

    def start_thumbnail(self, frame: CudaFrame, made: NDArray[np.uint8]) -> None:
        """Start to make a thumbnail in page-locked memory."""
        width, height, rows = self._blocks
        luma, address = frame.addresses[0] + frame.bytes - 1, made.ctypes.data
        job = ThumbnailJob(luma, frame.pitches[0], frame.bytes, width, height, rows, address)
        self._thumbnail((THUMBNAIL[1], 1, 1), THUMBNAIL[0] * _SHARING, job)

    def image(
        self, frame: CudaFrame, part: tuple[int, int, int, int], size: tuple[int, int], *, colors: bool
    ) -> NDArray[np.uint8]:
        """A part of a frame, (x, y, width, height) in its pixels, as an image of this width and height."""
        job, (width, height) = ImageJob(), size
        job.colors, job.width, job.height = 3 if colors else 1, width, height
        for channel in range(job.colors):
            job.views[channel] = _view(frame, channel, part, size)
            job.matrix[channel][:] = self._matrix[channel]
        count = width * height * job.colors
        if self._memory is None or count > self._host.size:
            self._memory, self._host = self._card.allocate(count), self._card.locked(count)
        job.made = self._memory.address
        self._image((-(-width * height // _PIXELS), 1, 1), _PIXELS, job)
        self._card.start_download(self._memory.address, self._host[:count])
        self._done.set()
        self._done.wait()
        return self._host[:count].reshape((height, width, 3) if colors else (height, width)).copy()


def _view(frame: CudaFrame, channel: int, part: tuple[int, int, int, int], size: tuple[int, int]) -> _View:
    """Where a part of a plane is, and how often it is halved: see `Frame`."""
    scale = 2 if channel else 1
    x, y, width, height = part[0] // scale, part[1] // scale, *(-(-side // scale) for side in part[2:])
    apart = scale * frame.bytes
    plane = frame.addresses[bool(channel)] + (channel == 2) * frame.bytes + frame.bytes - 1
    halvings, across, down = 0, width, height
    while across >= 2 * size[0] and down >= 2 * size[1]:
        halvings, across, down = halvings + 1, across // 2, down // 2
    area = across >= 2 * size[0] or down >= 2 * size[1]
    averaged = size[0] <= across < 3 * size[0] and size[1] <= down < 3 * size[1]
    if halvings > _MOST_HALVINGS or (area and not averaged):
        raise NotOnCardError(f"A part of {part[2]}x{part[3]} is shrunk to {size[0]}x{size[1]} by the processor.")
    columns, rows = -(-frame.width // scale), -(-frame.height // scale)
    steps = 1 / (size[0] / across), 1 / (size[1] / down)
    return _View(plane, frame.pitches[bool(channel)], apart, columns, rows, x, y, width, height, halvings, area, *steps)


@dataclass(frozen=True)
class CardFrame:
    """One frame on a card.

    Attributes:
        index: its number in presentation order, from 0.
        pts: presentation timestamp in units of the stream's time base.
        time: the same in seconds.
        thumbnail: what `shots.make_thumbnail` makes of its luma.
    """

    index: int
    pts: int
    time: float
    thumbnail: NDArray[np.uint8]
    frame: CudaFrame = field(repr=False)
    images: _Images = field(repr=False)

    @property
    def width(self) -> int:
        """Pixels in a row of luma."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Rows of luma."""
        return self.frame.height

    def luma(self, width: int, height: int) -> NDArray[np.uint8]:
        """As `Frame.luma`."""
        return self.images.image(self.frame, (0, 0, self.width, self.height), (width, height), colors=False)

    def bgr(self, max_width: int | None = None) -> NDArray[np.uint8]:
        """As `Frame.bgr`."""
        size = self.width, self.height
        return self.images.image(self.frame, (0, 0, *size), shrunk_size(size, max_width), colors=True)

    def bgr_square(self, x: int, y: int, side: int, *, at_most: int) -> NDArray[np.uint8]:
        """As `Frame.bgr_square`."""
        size = min(side, at_most)
        return self.images.image(self.frame, (x, y, side, side), (size, size), colors=True)


def card_frames(card: Card, video: VideoInfo, decoded: Iterable[CudaFrame]) -> Iterator[CardFrame]:
    """Frames of one video as they are looked at, each with its thumbnail. Images are made when they are asked for.

    Raises what the decoder raises, CudaError, and NotOnCardError for frames of a size that the kernels don't shrink.
    """
    images, unused = _Images(card, video), list[NDArray[np.uint8]]()
    width, height = THUMBNAIL

    def started(frame: CudaFrame) -> tuple[CudaFrame, NDArray[np.uint8]]:
        made = unused.pop() if unused else card.locked(width * height)
        images.start_thumbnail(frame, made)
        return frame, made

    for frame, made in in_flight(card, map(started, decoded)):
        thumbnail = made.reshape(height, width).copy()
        unused.append(made)
        yield CardFrame(frame.index, frame.pts, float(frame.pts * video.time_base), thumbnail, frame, images)
