"""Packets and audio into an MP4, and frames into one: encode, carry the audio along, and end cleanly whatever happens.

Belongs here: muxing and the two ways of ending: regular, and forced after an error. How frames become packets is
`encoder`'s business. What is written goes to the path that is given; the final name, after a check, is its caller's
business (`system.atomic_files`).
"""

from __future__ import annotations

import gc
import math
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from dualface_core.encoding.failures import EncoderError, FailureClass, advice
from dualface_core.encoding.settings import EncoderSpec
from dualface_core.media.audio import AudioTrack
from dualface_core.media.audio_streams import AudioInfo
from dualface_core.media.color import ColorInfo
from dualface_core.media.cuda_frames import CudaSurface, of_current_context
from dualface_core.media.encoder import Coding, Surface, VideoEncoder
from dualface_core.media.frames import Planes
from dualface_core.media.metadata import Metadata
from dualface_core.media.opening import said_by_ffmpeg
from dualface_core.media.span_files import SpanFiles, SpansWanted
from dualface_core.system.atomic_files import output_error

if TYPE_CHECKING:
    from dualface_core.media.encoder import VideoPacket

_LEAST_TIMESCALE: Final = 10_000
_LARGEST_TIMESCALE: Final = 2**31 - 1


@dataclass(frozen=True)
class Carried:
    """What goes into a file beside its video stream.

    Attributes:
        audio_from: a media file whose audio is carried along: packets as they are where MP4 can carry them, otherwise
            as AAC.
        audio: which streams of it; see `audio_streams`.
        metadata: what the file is to say of itself.
    """

    audio_from: Path | None = None
    audio: Sequence[AudioInfo] = ()
    metadata: Metadata = field(default_factory=Metadata)


class Mp4Muxer:
    """Writes one MP4 with one video stream, whose encoder it opens, and audio streams. A context manager.

    Args:
        path: the file to write; its folder must exist.
        coding: what the video stream is coded with.
        carried: what goes along with it.

    Raises:
        EncoderError: the encoder cannot be opened, or an MP4 cannot hold its packets.
        OutputError: the file cannot be written.
        UnreadableVideoError: the audio cannot be read.
    """

    def __init__(self, path: Path, coding: Coding, carried: Carried) -> None:
        self._path = path
        self._coding = coding
        self._closed = False
        self._first_dts: int | None = None
        self._last_pts: int | None = None
        self._last_duration: int | None = None
        self._audio: list[AudioTrack] = []
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._encoder: VideoEncoder | None = None
        try:
            if carried.audio_from is not None:
                self._audio += [AudioTrack(carried.audio_from, info) for info in carried.audio]
            self._open(carried.metadata)
        except BaseException as error:
            self._force(error)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            self.close()
        else:
            self.abandon(error)

    def files_of(self, wanted: SpansWanted) -> SpanFiles:
        """What puts spans of the video into files of their own."""
        assert self._stream is not None
        return SpanFiles(wanted, self._stream, self._coding)

    @property
    def encoder(self) -> VideoEncoder:
        """The encoder of the video stream, whose headers the file has. Raises ValueError after the end."""
        if self._encoder is None:
            raise ValueError("the writer is closed")
        return self._encoder

    def end_after(self, pts: int, duration: int) -> None:
        """Say when the last frame is shown and how long, in units of the time base, before its packet is muxed."""
        self._last_pts, self._last_duration = pts, duration

    def mux(self, packets: Iterable[VideoPacket]) -> None:
        """Write packets of the video, in decoding order, and the audio up to them."""
        assert self._container is not None
        assert self._stream is not None
        with self._writing():
            for packet in packets:
                packet.stream = self._stream
                self._first_dts = packet.dts if self._first_dts is None else self._first_dts
                if packet.pts == self._last_pts and self._last_duration and not packet.duration:
                    packet.duration = self._last_duration
                if packet.dts is not None and packet.time_base is not None:
                    for track in self._audio:
                        track.pump(self._container, packet.dts * packet.time_base)
                self._container.mux(packet)

    def mux_last(self, packets: Sequence[VideoPacket], first_pts: int) -> None:
        """Write the packets that end the video, if there are any; it has begun at `first_pts`.

        The very last packet, which need not be that of the last frame, lasts until the last frame ends.
        """
        if packets and self._last_pts is not None and self._last_duration:
            last, first_dts = packets[-1], self._first_dts if self._first_dts is not None else packets[0].dts
            if last.dts is not None and first_dts is not None:
                last.duration = self._last_pts + self._last_duration - first_pts - (last.dts - first_dts)
        self.mux(packets)

    def close(self) -> None:
        """End regularly: write the rest of the audio and the index. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        try:
            assert self._container is not None
            with self._writing():
                for track in self._audio:
                    track.pump(self._container, None)
                self._container.close()
        except BaseException as error:
            self._force(error)
            raise
        self._force()

    def abandon(self, error: BaseException) -> None:
        """End because of an error; the file is not usable. Does nothing after the end."""
        if not self._closed:
            self._closed = True
            self._force(error)

    def _force(self, error: BaseException | None = None) -> None:
        """Let go of everything without flushing, whatever state it is in.

        NVENC ends a session when the last reference to its codec context is gone, and streams, packets and the local
        variables in the traceback of `error` are such references.
        """
        for track in self._audio:
            track.close()
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()
        hardware = self._coding.encoder.hardware and self._stream is not None
        self._audio = []
        self._encoder = None
        self._stream = None
        self._container = None
        if hardware:
            while error is not None:
                traceback.clear_frames(error.__traceback__)
                error = error.__cause__ or error.__context__
            gc.collect()

    def _open(self, metadata: Metadata) -> None:
        coding = self._coding
        timescale = _movie_timescale(coding.time_base, self._audio)
        with self._writing():
            self._container = av.open(
                str(self._path.absolute()),  # a bare "12:30.mp4" would be taken for a protocol
                "w",
                format="mp4",
                options={"movflags": f"+faststart{metadata.muxer_flags}", "movie_timescale": str(timescale)},
            )
        added = self._container.add_stream(
            coding.encoder.name,
            rate=coding.average_rate,
            options=coding.encoder.options,
            hwaccel=of_current_context() if coding.on_card else None,
        )
        self._stream = cast(VideoStream, added)
        self._encoder = VideoEncoder(self._stream.codec_context, coding)
        self._stream.time_base = coding.time_base
        for track in self._audio:
            track.add_to(self._container)
        metadata.write(self._container, self._stream)
        with self._writing(), self._audio[0].refused() if self._audio else nullcontext():
            self._container.start_encoding()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the disk says while muxing into an OutputError, and a refusal of packets into an EncoderError."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            if said_by_ffmpeg(error) and self._stream is not None:
                reason = f"an MP4 cannot hold its packets ({error.strerror}). {advice(FailureClass.UNKNOWN)}"
                raise EncoderError(FailureClass.UNKNOWN, encoder=self._coding.encoder.name, reason=reason) from error
            raise output_error(self._path, OSError(error.errno, error.strerror)) from error


class VideoWriter:
    """Writes one MP4 with one video stream and, if asked for, audio streams. A context manager.

    Args:
        path: the file to write; its folder must exist.
        width, height, time_base, average_rate, color, encoder, threads: see `Coding`.
        audio_from, audio, metadata: see `Carried`.
        spans: spans of it that are wanted as files of their own, too; None for none.

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
        on_card: bool = False,
        audio_from: Path | None = None,
        audio: Sequence[AudioInfo] = (),
        metadata: Metadata | None = None,
        spans: SpansWanted | None = None,
    ) -> None:
        coding = Coding(encoder, width, height, time_base, average_rate, color, threads, on_card)
        self._size = (width, height)
        self._muxer = Mp4Muxer(path, coding, Carried(audio_from, audio, metadata or Metadata()))
        self._spans = None if spans is None else self._muxer.files_of(spans)
        self._closed = False
        self.frames_written = 0
        """Frames handed to the encoder so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            self.close()
        else:
            self._closed = True
            self._abandon(error)

    def write(self, planes: Planes, pts: int) -> None:
        """Encode a copy of Y, U and V at the writer's size; see `encode`."""
        surface = Surface.blank(*self._size)
        for target, rows in zip(surface.planes, planes, strict=True):
            target[:] = rows
        self.encode(surface, pts)

    def encode(self, surface: Surface | CudaSurface, pts: int, duration: int | None = None) -> None:
        """Encode one frame.

        Args:
            surface: of the writer's size; not to be drawn on any more.
            pts: presentation timestamp in units of `time_base`, greater than the one before.
            duration: how long the frame is shown, if it is the last one, in the same units; None for as long as the
                one before it.
        """
        packets = self._muxer.encoder.encode(surface, pts)
        if duration:
            self._muxer.end_after(pts, duration)
        if self._spans is not None:
            self._spans.add(packets)
        self._muxer.mux(packets)
        self.frames_written += 1

    def close(self) -> None:
        """End regularly: flush the encoder, write the rest of the audio and the index. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        try:
            self._flush()
            self._muxer.close()
        except BaseException as error:
            self._abandon(error)
            raise

    def _abandon(self, error: BaseException) -> None:
        if self._spans is not None:
            self._spans.abandon()
            self._spans = None  # which knows the stream
        self._muxer.abandon(error)

    def _flush(self) -> None:
        """Apart from `close`: what runs while the muxer lets go of everything must not hold the encoder."""
        encoder = self._muxer.encoder
        packets = encoder.flush()
        if self._spans is not None:
            self._spans.add(packets, last=True)
            self._spans = None
        self._muxer.mux_last(packets, encoder.first_pts)


def _movie_timescale(time_base: Fraction, audio: Iterable[AudioTrack]) -> int:
    """Units per second in which MP4 says how much later than the whole its streams begin, so that none is rounded.

    FFmpeg counts a video stream in its time base, divided by two until a second has 10,000 units, and audio in samples.
    """
    video = time_base.denominator
    while video < _LEAST_TIMESCALE:
        video *= 2
    every = math.lcm(video, *(track.rate for track in audio))
    return every if every <= _LARGEST_TIMESCALE else video
