"""Spans of a video as files of their own, made while the whole is written: for those who look at what is there already.

Belongs here: copies of packets on their way into a file. Spans that are encoded one by one are `joining`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dualface_core.media.encoder import Coding

if TYPE_CHECKING:
    from dualface_core.media.encoder import VideoPacket

_LEAST: Final = 2.0
"""Seconds of a span, but for the last one."""


@dataclass(frozen=True)
class SpanFile:
    """A span of a video as an MP4 of its own, in which its frames have the times that they have in the whole.

    Attributes:
        file: the MP4.
        encoder: FFmpeg's name of what encoded it.
        first, last: when its first and its last frame are shown, in seconds.
        frames: how many it has.
    """

    file: Path
    encoder: str
    first: Fraction
    last: Fraction
    frames: int


@dataclass(frozen=True)
class SpansWanted:
    """That spans of a video are wanted as files of their own while it is written.

    Attributes:
        folder: where; who is told of a file removes it.
        told: is called with each when it is complete.
    """

    folder: Path
    told: Callable[[SpanFile], None]


class SpanFiles:
    """Copies of a video's packets in files of their own, each from a key frame to another.

    An encoder may refer from behind a key frame to what is before it (an open GOP): then a file has frames that cannot
    be decoded. Where a file cannot be written, no more are.

    Args:
        wanted: where the files go, and who is told.
        stream: the stream of the whole video, whose headers they have; it must be open.
        coding: what it is coded with.
    """

    def __init__(self, wanted: SpansWanted, stream: VideoStream, coding: Coding) -> None:
        self._wanted = wanted
        self._whole = stream
        self._coding = coding
        self._least = round(_LEAST / coding.time_base)
        self._file = wanted.folder
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._pts: list[int] = []
        self._failed = False

    def add(self, packets: Iterable[VideoPacket], *, last: bool = False) -> None:
        """Take packets, in decoding order, before they are muxed: that takes their payload."""
        if self._failed:
            return
        try:
            for packet in packets:
                if packet.is_keyframe and (not self._pts or (packet.pts or 0) - self._pts[0] >= self._least):
                    self._finish()
                    self._begin()
                self._write(packet)
            if last:
                self._finish()
        except (av.error.FFmpegError, OSError):
            self._failed = True
            self.abandon()

    def abandon(self) -> None:
        """Remove the file that is begun."""
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError):
                self._container.close()
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
        self._container, self._stream = None, None

    def _finish(self) -> None:
        """Complete the file that is begun, and tell of it."""
        if self._container is not None:
            self._container.close()
            self._container, self._stream, pts, self._pts = None, None, self._pts, []
            first, last = (time * self._coding.time_base for time in (min(pts), max(pts)))
            self._wanted.told(SpanFile(self._file, self._coding.encoder.name, first, last, len(pts)))

    def _begin(self) -> None:
        self._file = self._wanted.folder / f"{uuid4().hex}.span.mp4"
        # The begin of a stream is counted in units of the movie.
        options = {"movie_timescale": str(self._coding.time_base.denominator)}
        self._container = av.open(str(self._file), "w", format="mp4", options=options)
        self._stream = self._container.add_stream_from_template(self._whole, opaque=True)
        self._stream.time_base = self._coding.time_base
        self._stream.codec_context.codec_tag = self._whole.codec_context.codec_tag

    def _write(self, packet: VideoPacket) -> None:
        if self._container is None or self._stream is None or packet.pts is None:
            return
        copy = cast("VideoPacket", Packet(bytes(packet)))
        copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
        copy.is_keyframe, copy.stream = packet.is_keyframe, self._stream
        self._container.mux(copy)
        self._pts.append(packet.pts)
