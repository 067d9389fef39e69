"""Frames that never leave the card: decoded by NVDEC, and surfaces that NVENC takes as they are.

Belongs here: what PyAV knows of memory of the card. What is drawn there is `compositing`'s business. Every thread that
uses any of this has called `Card.enter` before.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeVar
from weakref import finalize

import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.frame import CudaContext, VideoFrame
from numpy.typing import NDArray

from dualface_core.media.color import tags_until_key_frames
from dualface_core.media.frames import Frame, Planes
from dualface_core.media.kept_readers import KeptReaders
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span
from dualface_core.system.cuda import Card, DeviceMemory, Mark

_IN_TURN: Final = 2
_PITCH: Final = 256
"""Bytes of which the rows of a surface take a multiple. NVENC asks for 16, and rows of 1080 samples are none."""

_ON_THEIR_WAY: Final = 3
"""Frames that are copied to the host while the next is decoded."""

_KEPT_READERS: Final = 4
"""Decoders of a process that are open on the card, unless it reads more spans at a time."""

_OF_CURRENT_CONTEXT: Final[dict[str, object]] = {"primary_ctx": "0", "current_ctx": "1"}
_BYTES: Final = {"nv12": 1, "p010le": 2, "p016le": 2}
"""Bytes of a sample in the formats that NVDEC gives of 4:2:0, by FFmpeg's names."""


class NotOnCardError(Exception):
    """A video, or a frame of it, is of a kind that only the CPU can deal with; the message says which."""


def of_current_context(*, keep: bool = True) -> HWAccel:
    """What makes FFmpeg use the context of the calling thread, for decoding or encoding."""
    return HWAccel("cuda", options=dict(_OF_CURRENT_CONTEXT), is_hw_owned=keep)


@dataclass(frozen=True)
class CudaFrame:
    """One decoded frame in memory of the card.

    Attributes:
        index: its number in presentation order, from 0.
        pts: presentation timestamp in units of the stream's time base.
        addresses: of Y, and of U and V in turn.
        pitches: bytes from one row to the next, of each.
        width, height: in luma samples.
        bytes: of a sample: 1, or 2 with the value in its upper bits.
    """

    index: int
    pts: int
    addresses: tuple[int, int]
    pitches: tuple[int, int]
    width: int
    height: int
    bytes: int
    owner: object = field(repr=False, compare=False)


class CudaReader(VideoReader):
    """Decodes a video on the card.

    Args:
        video: the file, as `probe` found it.
        span: the frames; all of them if None.

    Raises what `VideoReader` raises, and NotOnCardError at the first frame that NVDEC does not decode, or that would
    have to be converted.
    """

    def __init__(self, video: VideoInfo, *, span: Span | None = None) -> None:
        super().__init__(video, threads=1, span=span, hardware=of_current_context())
        self._tags: tuple[int, int, int, int] | None = None

    def frames(self) -> Iterator[CudaFrame]:
        """The frames, in order."""
        video = self._video
        for index, pts, decoded in self._numbered():
            if decoded.is_corrupt:
                self._refuse_damage(float(pts * video.time_base))
            yield self._on_card(index, pts, decoded)

    def _decoded(self) -> Iterator[VideoFrame]:
        return tags_until_key_frames(self._coded())

    def _on_card(self, index: int, pts: int, decoded: VideoFrame) -> CudaFrame:
        video = self._video
        if decoded.format.name != "cuda":
            kind = f"{video.codec} of the format {video.pixel_format}"
            raise NotOnCardError(f"NVDEC does not decode {kind}, or the card has too little memory left for it.")
        size = _BYTES.get(decoded.sw_format.name) if decoded.sw_format else None
        if size is None:
            raise NotOnCardError(f"The card decodes {video.pixel_format} into a form that is not used.")
        if (decoded.width, decoded.height) != (video.width, video.height) or decoded.interlaced_frame:
            raise NotOnCardError(f"Frame {index} is of another shape than the first, or interlaced.")
        tags = decoded.color_range, decoded.color_primaries, decoded.color_trc, decoded.colorspace
        if tags != self._tags and not self._color(decoded, float(pts * video.time_base)).looks_as(video.color):
            raise NotOnCardError(f"The colors of frame {index} are to be converted.")
        self._tags = tags
        luma, chroma = decoded.planes[:2]
        return CudaFrame(
            index,
            pts,
            (luma.buffer_ptr, chroma.buffer_ptr),
            (luma.line_size, chroma.line_size),
            video.width,
            video.height,
            size,
            decoded,
        )


class Downloads:
    """Copies frames to page-locked memory of the host, which is taken anew once nobody holds a frame.

    Args:
        card: the device.
        video: what the frames are of. Samples of more than 8 bits lose the others.
    """

    def __init__(self, card: Card, video: VideoInfo) -> None:
        self._card = card
        self._video = video
        self._free: list[NDArray[np.uint8]] = []

    def start(self, frame: CudaFrame) -> Frame:
        """The frame as it will be, when the card has come so far. Raises CudaError."""
        heights = frame.height, (frame.height + 1) // 2
        size = sum(pitch * rows for pitch, rows in zip(frame.pitches, heights, strict=True))
        host = self._free.pop() if self._free else self._card.locked(size)
        split = frame.pitches[0] * heights[0]
        parts = host[:split].reshape(heights[0], -1), host[split:].reshape(heights[1], -1)
        for address, part in zip(frame.addresses, parts, strict=True):
            self._card.start_download(address, part)
        # Of two bytes, the second one has the upper bits.
        luma, chroma = (part[:, frame.bytes - 1 : frame.width * frame.bytes : frame.bytes] for part in parts)
        time = float(frame.pts * self._video.time_base)
        planes = luma, chroma[:, 0::2], chroma[:, 1::2]
        arriving = Frame(frame.index, frame.pts, time, planes, self._video.color)
        finalize(arriving, self._free.append, host).atexit = False
        return arriving


@cache
def card_readers() -> KeptReaders[CudaReader]:
    """The readers of this process."""
    return KeptReaders(CudaReader, most=_KEPT_READERS)


Started = TypeVar("Started")


def in_flight(card: Card, started: Iterable[Started]) -> Iterator[Started]:
    """What the card was asked for, one after the other, each once it is done; some more are on their way meanwhile."""
    on_their_way: deque[tuple[Started, Mark]] = deque()
    marks = [Mark(card) for _ in range(_ON_THEIR_WAY + 1)]
    for each in started:
        mark = marks.pop()
        mark.set()
        on_their_way.append((each, mark))
        if not marks:
            done, mark = on_their_way.popleft()
            mark.wait()
            marks.append(mark)
            yield done
    for done, mark in on_their_way:
        mark.wait()
        yield done


@dataclass(frozen=True)
class Canvas:
    """Where a picture of 4:2:0 lies in memory of the card.

    Attributes:
        addresses: of Y, U and V.
        pitches: bytes from one row to the next, of each.
        apart: bytes from one U to the next: 2 where U and V lie in turn.
    """

    addresses: tuple[int, int, int]
    pitches: tuple[int, int, int]
    apart: int

    @classmethod
    def of(cls, frame: CudaFrame) -> Canvas:
        """Where the samples of a frame lie. Raises NotOnCardError for one of more than 8 bits."""
        if frame.bytes > 1:
            raise NotOnCardError("Frames of more than 8 bits are no canvas.")
        (y, uv), (pitch, pitch_of_both) = frame.addresses, frame.pitches
        return cls((y, uv, uv + 1), (pitch, pitch_of_both, pitch_of_both), _IN_TURN)


@dataclass(frozen=True, eq=False)
class CudaSurface:
    """A surface that is drawn on in memory of the card.

    Attributes:
        canvas: where it is drawn.
        memory: that of the card.
        picture: page-locked memory for Y, U and V, one after the other, once they are copied; none of a surface for
            NVENC.
        beside: page-locked memory for what comes with it, as much as a `Pool` was asked for.
        frame: what an encoder takes: the memory of the host, or that of the card for NVENC.
        drawn: where in the card's work it is complete.
    """

    canvas: Canvas
    memory: DeviceMemory
    picture: NDArray[np.uint8]
    beside: NDArray[np.uint8]
    frame: VideoFrame
    drawn: Mark

    @property
    def planes(self) -> Planes:
        """Y, U and V as views of the host's memory, of a surface that is copied there."""
        luma = self.frame.width * self.frame.height
        return (
            self.picture[:luma].reshape(self.frame.height, -1),
            self.picture[luma : luma * 5 // 4].reshape(self.frame.height // 2, -1),
            self.picture[luma * 5 // 4 :].reshape(self.frame.height // 2, -1),
        )


_NOTHING: Final = np.empty(0, np.uint8)
_Parts = tuple[Canvas, DeviceMemory, NDArray[np.uint8], NDArray[np.uint8], VideoFrame, Mark]


class Pool:
    """Surfaces for one video, each taken anew once nobody holds it any more.

    Args:
        card: the device.
        width, height: of the surfaces, in pixels, both even.
        copied: whether surfaces are copied to the host; otherwise they are for NVENC.
        beside: bytes of page-locked memory that come with each.
    """

    def __init__(self, card: Card, width: int, height: int, *, copied: bool, beside: int) -> None:
        self._card = card
        self._size = (width, height)
        self._copied, self._beside = copied, max(beside, 1)
        self._context = CudaContext(0, primary_ctx=False, current_ctx=True)
        self._free: list[_Parts] = []

    def take(self) -> CudaSurface:
        """A surface that nobody else has; what is on it is undefined."""
        parts = self._free.pop() if self._free else self._apart() if self._copied else self._in_turn()
        surface = CudaSurface(*parts)
        finalize(surface, self._free.append, parts).atexit = False
        return surface

    def _apart(self) -> _Parts:
        width, height = self._size
        luma, chroma = width * height, width * height // 4
        memory, picture = self._card.allocate(luma + 2 * chroma), self._card.locked(luma + 2 * chroma)
        y = memory.address
        canvas = Canvas((y, y + luma, y + luma + chroma), (width, width // 2, width // 2), 1)
        frame = VideoFrame.from_numpy_buffer(picture.reshape(-1, width), format="yuv420p")
        return canvas, memory, picture, self._card.locked(self._beside), frame, Mark(self._card)

    def _in_turn(self) -> _Parts:
        width, height = self._size
        pitch = -(-width // _PITCH) * _PITCH
        memory = self._card.allocate(pitch * height * 3 // 2)
        y, uv = memory.address, memory.address + pitch * height
        planes = [_capsule(y, (height, width), (pitch, 1)), _capsule(uv, (height // 2, width // 2, 2), (pitch, 2, 1))]
        frame = VideoFrame.from_dlpack(planes, format="nv12", cuda_context=self._context)
        canvas = Canvas((y, uv, uv + 1), (pitch, pitch, pitch), _IN_TURN)
        return canvas, memory, _NOTHING, self._card.locked(self._beside), frame, Mark(self._card)


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    """DLManagedTensor of DLPack."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("dimensions", ctypes.c_int32),
        ("type", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
    )


_CUDA: Final = _Device(2, 0)
_UINT8: Final = _Type(1, 8, 1)
_NAME: Final = ctypes.create_string_buffer(b"dltensor")
_tensors: Final[dict[int, _Tensor]] = {}
"""Those that FFmpeg still refers to, by their addresses."""


def _forget(address: int) -> None:
    _tensors.pop(address, None)


_forgetting: Final = _Deleter(_forget)


def _capsule(address: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> object:
    """Memory of the card as DLPack hands it over; it stays its owner's."""
    count = len(shape)
    sizes = ctypes.c_int64 * count
    tensor = _Tensor(address, _CUDA, count, _UINT8, sizes(*shape), sizes(*strides), 0, None, _forgetting)
    _tensors[ctypes.addressof(tensor)] = tensor
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return new(ctypes.addressof(tensor), ctypes.addressof(_NAME), None)
