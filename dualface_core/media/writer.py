"""Frames into an MP4: encode, carry the audio along, and end cleanly whatever happens.

Belongs here: encoding, muxing and the two ways of ending: regular, and forced after an error. A writer writes to the
path that it is given; the final name, after a check, is its caller's business (`system.atomic_files`).
"""

from __future__ import annotations

import gc
import math
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dualface_core.encoding.failures import EncoderError, FailureClass, advice
from dualface_core.encoding.settings import EncoderSpec
from dualface_core.errors import SettingsError
from dualface_core.media.audio import AudioTrack
from dualface_core.media.audio_streams import AudioInfo
from dualface_core.media.color import ColorInfo
from dualface_core.media.ffmpeg_log import captured_log
from dualface_core.media.frames import Planes
from dualface_core.media.metadata import Metadata
from dualface_core.media.opening import said_by_ffmpeg
from dualface_core.media.reader import planes_of
from dualface_core.system.atomic_files import output_error
from dualface_core.system.threads import unchanged_scheduling

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    VideoPacket = Packet[VideoStream]

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its whole configuration on stderr unless told to keep to errors

_LEAST_TIMESCALE: Final = 10_000
_LARGEST_TIMESCALE: Final = 2**31 - 1


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


class VideoWriter:
    """Writes one MP4 with one video stream and, if asked for, audio streams.

    Args:
        path: the file to write; its folder must exist.
        width, height: of the frames, in pixels, both even.
        time_base: seconds per unit of the pts given to `write`; kept exactly.
        average_rate: frames per second, a hint for rate control and players.
        color: color tags to write.
        encoder: what encodes.
        threads: CPU threads of a software encoder; 0 lets it choose by the number of cores.
        audio_from: a media file whose audio is carried along: packets as they are where MP4 can carry them, otherwise
            as AAC.
        audio: which streams of it; see `audio_streams`.
        metadata: what the file is to say of itself.

    Raises:
        EncoderError: the encoder cannot be opened or fails.
        OutputError: the file cannot be written.
        UnreadableVideoError: the audio cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        time_base: Fraction,
        average_rate: Fraction,
        color: ColorInfo,
        encoder: EncoderSpec,
        threads: int = 0,
        audio_from: Path | None = None,
        audio: Sequence[AudioInfo] = (),
        metadata: Metadata | None = None,
    ) -> None:
        self._path = path
        self._size = (width, height)
        self._time_base = time_base
        self._encoder = encoder
        self._threads = threads
        self._closed = False
        self._first_pts = 0
        self._first_dts: int | None = None
        self._last_pts: int | None = None
        self._last_duration: int | None = None
        self.frames_written = 0
        """Frames handed to the encoder so far."""
        self._audio: list[AudioTrack] = []
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        try:
            if audio_from is not None:
                self._audio += [AudioTrack(audio_from, info) for info in audio]
            self._open(average_rate, color, metadata or Metadata())
        except BaseException as error:
            self._force(error)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            self.close()
        elif not self._closed:
            self._closed = True
            self._force(error)

    def write(self, planes: Planes, pts: int) -> None:
        """Encode a copy of Y, U and V at the writer's size; see `encode`."""
        surface = Surface.blank(*self._size)
        for target, rows in zip(surface.planes, planes, strict=True):
            target[:] = rows
        self.encode(surface, pts)

    def encode(self, surface: Surface, pts: int, duration: int | None = None) -> None:
        """Encode one frame.

        Args:
            surface: of the writer's size; not to be drawn on any more.
            pts: presentation timestamp in units of `time_base`, greater than the one before.
            duration: how long the frame is shown, if it is the last one, in the same units; None for as long as the
                one before it.
        """
        if self._container is None or self._stream is None:
            raise ValueError("the writer is closed")
        if self._last_pts is None:
            self._first_pts = pts
        elif pts <= self._last_pts:
            raise ValueError(f"pts {pts} does not come after {self._last_pts}")
        frame = surface.frame
        frame.pts = pts
        frame.time_base = self._time_base
        with self._encoding():
            packets = self._stream.encode(frame)
        self._last_pts, self._last_duration = pts, duration
        with self._writing():
            self._mux(packets)
        self.frames_written += 1

    def close(self) -> None:
        """End regularly: flush the encoder, write the rest of the audio and the index. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        except BaseException as error:
            self._force(error)
            raise
        self._force()

    def _force(self, error: BaseException | None = None) -> None:
        """Let go of everything without flushing, whatever state it is in: after an error the file is not usable.

        NVENC ends a session when the last reference to its codec context is gone, and streams, packets and the local
        variables in the traceback of `error` are such references.
        """
        for track in self._audio:
            track.close()
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()
        hardware = self._encoder.hardware and self._stream is not None
        self._audio = []
        self._stream = None
        self._container = None
        if hardware:
            while error is not None:
                traceback.clear_frames(error.__traceback__)
                error = error.__cause__ or error.__context__
            gc.collect()

    def _open(self, average_rate: Fraction, color: ColorInfo, metadata: Metadata) -> None:
        timescale = _movie_timescale(self._time_base, self._audio)
        with self._writing():
            self._container = av.open(
                str(self._path.absolute()),  # a bare "12:30.mp4" would be taken for a protocol
                "w",
                format="mp4",
                options={"movflags": f"+faststart{metadata.muxer_flags}", "movie_timescale": str(timescale)},
            )
        with self._encoding():
            self._stream = self._add_video(self._container, average_rate, color)
        for track in self._audio:
            track.add_to(self._container)
        metadata.write(self._container, self._stream)
        with self._writing(), self._audio[0].refused() if self._audio else nullcontext():
            self._container.start_encoding()

    def _finish(self) -> None:
        if self._container is None or self._stream is None:
            return
        packets: list[VideoPacket] = []
        if self.frames_written:
            with self._encoding():
                packets = self._stream.encode(None)
        if self.frames_written <= 2:
            # Two frames cannot be out of order; x265 takes their decoding times from uninitialized memory.
            for packet in packets:
                packet.dts = packet.pts
        if packets and self._last_duration:
            self._end_with(packets[-1], packets[0])
        with self._writing():
            self._mux(packets)
            for track in self._audio:
                track.pump(self._container, None)
            self._container.close()

    def _add_video(self, container: OutputContainer, rate: Fraction, color: ColorInfo) -> VideoStream:
        stream = cast(VideoStream, container.add_stream(self._encoder.name, rate=rate, options=self._encoder.options))
        context: VideoCodecContext = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = self._time_base
        stream.time_base = self._time_base
        # x264 takes PyAV's default, threads by slices, at its word: slower, and every slice costs bits.
        context.thread_type = "FRAME"
        context.thread_count = self._threads
        context.color_range = color.range
        context.color_primaries = color.primaries
        context.color_trc = color.transfer
        context.colorspace = color.matrix
        if self._encoder.name == "libx265":
            context.codec_tag = "hvc1"  # the tag that Apple's players ask for
        with unchanged_scheduling():
            context.open()
        unknown = sorted(context.options)
        if unknown:
            raise SettingsError(f"{self._encoder.name} does not know these options: {', '.join(unknown)}.")
        return stream

    def _mux(self, packets: list[VideoPacket]) -> None:
        assert self._container is not None
        for packet in packets:
            self._first_dts = packet.dts if self._first_dts is None else self._first_dts
            if packet.pts == self._last_pts and self._last_duration and not packet.duration:
                packet.duration = self._last_duration
            if packet.dts is not None and packet.time_base is not None:
                for track in self._audio:
                    track.pump(self._container, packet.dts * packet.time_base)
            self._container.mux(packet)

    def _end_with(self, packet: VideoPacket, first: VideoPacket) -> None:
        """Let the last packet, which need not be that of the last frame, last until the last frame ends."""
        first_dts = self._first_dts if self._first_dts is not None else first.dts
        if self._last_pts is None or not self._last_duration or packet.dts is None or first_dts is None:
            return
        packet.duration = self._last_pts + self._last_duration - self._first_pts - (packet.dts - first_dts)

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        """Turn what FFmpeg raises and logs while opening an encoder or encoding into an EncoderError.

        A software encoder is listened to only while it is opened: other videos may be in work in this process.
        """
        with ExitStack() as listening:
            lines = listening.enter_context(captured_log()) if self._encoder.hardware or self._stream is None else []
            try:
                yield
            except (av.error.FFmpegError, OSError) as error:
                log = [f"[{name}] {text.strip()}" for _, name, text in lines]
                raise EncoderError.caused_by(error, encoder=self._encoder.name, log=log) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the disk says while muxing into an OutputError, and a refusal of packets into an EncoderError."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            if said_by_ffmpeg(error) and self._stream is not None:
                reason = f"an MP4 cannot hold its packets ({error.strerror}). {advice(FailureClass.UNKNOWN)}"
                raise EncoderError(FailureClass.UNKNOWN, encoder=self._encoder.name, reason=reason) from error
            raise output_error(self._path, OSError(error.errno, error.strerror)) from error


def _movie_timescale(time_base: Fraction, audio: Iterable[AudioTrack]) -> int:
    """Units per second in which MP4 says how much later than the whole its streams begin, so that none is rounded.

    FFmpeg counts a video stream in its time base, divided by two until a second has 10,000 units, and audio in samples.
    """
    video = time_base.denominator
    while video < _LEAST_TIMESCALE:
        video *= 2
    every = math.lcm(video, *(track.rate for track in audio))
    return every if every <= _LARGEST_TIMESCALE else video
