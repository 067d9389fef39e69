"""Frames into packets: one video encoder, opened as we need it, whose failures are told in our own terms.

Belongs here: encoding. Where the packets go is the business of `writer`, and of `joining` if they are those of a span.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Self

import av.error
from av import library_versions as ffmpeg_versions
from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dualface_core.encoding.failures import EncoderError
from dualface_core.encoding.settings import EncoderSpec
from dualface_core.errors import SettingsError
from dualface_core.media.color import ColorInfo
from dualface_core.media.cuda_frames import CudaSurface
from dualface_core.media.ffmpeg_log import captured_log
from dualface_core.media.frames import Planes
from dualface_core.media.reader import planes_of
from dualface_core.system.threads import unchanged_scheduling

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    VideoPacket = Packet[VideoStream]

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its whole configuration on stderr unless told to keep to errors


_HEVC: Final = frozenset({"libx265", "hevc_nvenc"})
"""FFmpeg's names of the encoders of HEVC."""


def library_versions() -> dict[str, str]:
    """Versions of FFmpeg's libraries."""
    return {name: ".".join(map(str, version)) for name, version in ffmpeg_versions.items()}


@dataclass(frozen=True)
class Surface:
    """What is drawn on: the planes of a frame that an encoder takes as it is.

    Attributes:
        planes: Y, U and V, to be drawn on; undefined at first.
        frame: the same as PyAV's.
    """

    planes: Planes
    frame: VideoFrame

    @classmethod
    def blank(cls, width: int, height: int) -> Self:
        """A surface of this size; width and height are even."""
        frame = VideoFrame(width, height, "yuv420p")
        return cls(planes_of(frame), frame)


@dataclass(frozen=True)
class Coding:
    """What an encoder is opened with.

    Attributes:
        encoder: which one, and its options.
        width, height: of the frames, in pixels, both even.
        time_base: seconds per unit of pts; kept exactly.
        average_rate: frames per second, a hint for rate control and players.
        color: color tags to write.
        threads: CPU threads of a software encoder; 0 lets it choose by the number of cores.
        on_card: whether its surfaces are in memory of the card, for NVENC.
    """

    encoder: EncoderSpec
    width: int
    height: int
    time_base: Fraction
    average_rate: Fraction
    color: ColorInfo
    threads: int = 0
    on_card: bool = False


class VideoEncoder:
    """Encodes frames whose timestamps grow.

    Args:
        context: a codec context of the coding's encoder, with its options and not opened yet.
        coding: what it is opened with.

    Raises:
        EncoderError: it cannot be opened, or fails.
        SettingsError: it does not know an option.
    """

    def __init__(self, context: VideoCodecContext, coding: Coding) -> None:
        self.coding = coding
        self.frames = 0
        """Frames handed over so far."""
        self.first_pts = 0
        """That of the first of them."""
        self._last_pts: int | None = None
        self._context = context
        self._held: dict[int, CudaSurface] = {}
        with self._encoding(opening=True):
            self._open()

    @classmethod
    def alone(cls, coding: Coding) -> Self:
        """An encoder that belongs to no container; its packets are those that it would make for an MP4."""
        context = CodecContext.create(coding.encoder.name, "w")
        assert isinstance(context, VideoCodecContext)
        context.framerate = coding.average_rate
        context.flags |= Flags.global_header
        context.options = dict(coding.encoder.options)
        return cls(context, coding)

    @property
    def extradata(self) -> bytes:
        """The headers that a container has once for all packets: parameter sets or sequence header."""
        return bytes(self._context.extradata or b"")

    def encode(self, surface: Surface | CudaSurface, pts: int) -> list[VideoPacket]:
        """Encode one frame.

        Args:
            surface: of the coding's size. A software encoder has taken what it needs of it when this returns; one on
                the card is held until its packet has come.
            pts: presentation timestamp in units of the time base, greater than the one before.

        Returns:
            The packets that are ready, in decoding order, which need not be this frame's.
        """
        if self._last_pts is None:
            self.first_pts = pts
        elif pts <= self._last_pts:
            raise ValueError(f"pts {pts} does not come after {self._last_pts}")
        frame = surface.frame
        frame.pts = pts
        frame.time_base = self.coding.time_base
        with self._encoding():
            packets: list[VideoPacket] = self._context.encode(frame)
        self._last_pts = pts
        self.frames += 1
        if self.coding.on_card and isinstance(surface, CudaSurface):
            self._held[pts] = surface
            for packet in packets:
                self._held.pop(packet.pts or 0, None)
        return packets

    def flush(self) -> list[VideoPacket]:
        """The packets of the frames that it still holds. To be called once, and nothing after it."""
        if not self.frames:
            return []
        with self._encoding():
            packets: list[VideoPacket] = self._context.encode(None)
        if self.frames <= 2:
            # Two frames cannot be out of order; x265 takes their decoding times from uninitialized memory.
            for packet in packets:
                packet.dts = packet.pts
        return packets

    def _open(self) -> None:
        context, coding = self._context, self.coding
        context.width, context.height = coding.width, coding.height
        context.pix_fmt = "cuda" if coding.on_card else "yuv420p"
        context.time_base = coding.time_base
        # x264 takes PyAV's default, threads by slices, at its word: slower, and every slice costs bits.
        context.thread_type = "FRAME"
        context.thread_count = coding.threads
        context.color_range = coding.color.range
        context.color_primaries = coding.color.primaries
        context.color_trc = coding.color.transfer
        context.colorspace = coding.color.matrix
        if coding.encoder.name in _HEVC:
            context.codec_tag = "hvc1"  # the tag that Apple's players ask for
        with unchanged_scheduling():
            context.open()
        unknown = sorted(context.options)
        if unknown:
            raise SettingsError(f"{coding.encoder.name} does not know these options: {', '.join(unknown)}.")

    @contextmanager
    def _encoding(self, *, opening: bool = False) -> Iterator[None]:
        """Turn what FFmpeg raises and logs while opening an encoder or encoding into an EncoderError.

        A software encoder is listened to only while it is opened: other videos may be in work in this process.
        """
        encoder = self.coding.encoder
        with ExitStack() as listening:
            lines = listening.enter_context(captured_log()) if encoder.hardware or opening else []
            try:
                yield
            except (av.error.FFmpegError, OSError) as error:
                log = [f"[{name}] {text.strip()}" for _, name, text in lines]
                raise EncoderError.caused_by(error, encoder=encoder.name, log=log) from error
