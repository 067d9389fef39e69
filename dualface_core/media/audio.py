"""Audio on its way into an MP4: packets copied where MP4 can carry them, otherwise encoded as AAC.

Belongs here: the audio streams of what is written. Doesn't: comparing the packets of two files (`packets`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import cycle, islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import av.error
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Disposition

from dualface_core.errors import UnreadableVideoError, UnsupportedVideoError
from dualface_core.media.audio_frames import decoded_frames, without_gaps
from dualface_core.media.audio_streams import MOST_CHANNELS, AudioInfo, Timestamps, decodable_audio
from dualface_core.media.opening import open_input, opened, said_by_ffmpeg, unreadable
from dualface_core.media.salvage import TRY_SALVAGE, Stretches, demuxed
from dualface_core.system.atomic_files import output_error

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AudioPacket = Packet[AudioStream]

_AAC_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Samples per second; AAC knows higher ones, but few players do."""

_AAC_BIT_RATE: Final = 96_000
"""Bits per second and channel."""

_FAILED: Final = "its audio cannot be read"


class AudioTrack:
    """One audio stream of a file on its way into a container: copied, or encoded as AAC.

    Args:
        source: the file.
        info: which stream of it, and what it is.

    Raises UnreadableVideoError.
    """

    def __init__(self, source: Path, info: AudioInfo) -> None:
        self._source = source
        self._info = info
        self._container: InputContainer = open_input(source)
        self._stream = next(stream for stream in self._container.streams.audio if stream.index == info.index)
        self._packets: Iterator[AudioPacket] = iter(())
        self._target: AudioStream | None = None
        self._next: AudioPacket | None = None
        self._written = Fraction(0)

    @property
    def rate(self) -> int:
        """Samples per second of what is written."""
        rate = self._info.sample_rate
        if self._info.copied:
            return rate
        return min((known for known in _AAC_RATES if known >= rate), default=max(_AAC_RATES))

    def add_to(self, output: OutputContainer) -> None:
        """Add an audio stream to `output`."""
        if self._info.copied:
            self._target = output.add_stream_from_template(self._stream)
            self._packets = (packet for packet in self._demuxed() if packet.size)
        else:
            channels = min(MOST_CHANNELS, self._info.channels)
            self._target = output.add_stream("aac", rate=self.rate)
            self._target.codec_context.layout = "mono" if channels == 1 else "stereo"
            self._target.codec_context.bit_rate = _AAC_BIT_RATE * channels
            self._packets = self._encoded(self._target)
        self._timestamps = Timestamps(self._stream if self._info.copied else self._target)
        self._target.metadata.update({"language": self._info.language, "title": self._info.title})
        self._target.disposition = Disposition.default if self._info.default else Disposition(0)

    def pump(self, output: OutputContainer, until: Fraction | None) -> None:
        """Write packets up to a decoding time in seconds, or all that are left.

        Carried along with the frames, so that the muxer need not hold the audio of a whole video in memory.
        Raises UnreadableVideoError, and UnsupportedVideoError where the container refuses a packet.
        """
        assert self._target is not None
        while (packet := self._next or self._read()) is not None:
            self._next = packet
            if until is not None and packet.dts is not None and packet.dts * packet.time_base > until:
                return
            packet.stream = self._target
            with self.refused():
                output.mux(packet)
            self._next = None

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Turn a muxer's refusal of this audio into an UnsupportedVideoError; what the disk says passes."""
        try:
            yield
        except av.error.FFmpegError as error:
            if not said_by_ffmpeg(error):
                raise
            found = f"an MP4 cannot hold its audio, {self._info.codec} at {self._info.sample_rate} Hz"
            raise UnsupportedVideoError(self._source, found, action="Export it with AAC audio at 48,000 Hz.") from error

    def close(self) -> None:
        """Close the source."""
        self._container.close()

    def _read(self) -> AudioPacket | None:
        try:
            packet = next(self._packets, None)
        except (av.error.FFmpegError, OSError) as error:
            failed = f"{_FAILED} behind {float(self._written):.2f} s"
            raise unreadable(self._source, failed, error, action=TRY_SALVAGE) from error
        if packet is not None:
            packet.pts = packet.dts = self._timestamps.place(packet)
            self._written = packet.pts * Fraction(packet.time_base)
        return packet

    def _demuxed(self) -> Iterator[AudioPacket]:
        return self._info.timeline.moved(demuxed(self._container, self._stream, salvage=True))

    def _encoded(self, target: AudioStream) -> Iterator[AudioPacket]:
        context = target.codec_context
        layout, rate = context.layout.name, context.sample_rate
        framer = AudioResampler(context.format, layout, rate, context.frame_size or None)
        lost = Stretches(0) if self._info.lost else None
        frames = decoded_frames(self._demuxed(), self._stream, layout=layout, rate=rate, lost=lost)
        for frame in frames if lost is None else without_gaps(frames, rate=rate):
            for part in framer.resample(frame):
                yield from target.encode(part)
        for part in framer.resample(None):
            yield from target.encode(part)
        yield from target.encode(None)


def write_looped_audio(source: Path, target: Path, seconds: float) -> None:
    """Repeat the first audio stream of `source` until it is `seconds` long, to within one packet.

    The packets are repeated, never decoded: those of a codec such as AAC all last equally long and follow one another
    freely, so a longer track is the same packets with later timestamps.

    Args:
        source: a media file with audio in a codec that MP4 carries.
        target: the MP4 file (.mp4 or .m4a) to write; its audio starts at 0.
        seconds: length, more than 0. The last packet is the one that reaches it.

    Raises:
        UnsupportedVideoError: `source` has no audio.
        UnreadableVideoError: `source` cannot be read.
        OutputError: `target` cannot be written.
    """
    with opened(source, _FAILED) as container:
        stream = next(iter(decodable_audio(container)), None)
        if stream is None:
            raise UnsupportedVideoError(source, "it has no audio", action="Choose a file that has.")
        packets = [packet for packet in container.demux(stream) if packet.size and packet.duration]
        if not packets:
            raise UnreadableVideoError(source, "its audio is empty", action="Copy or export the video again.")
        try:
            with av.open(target, "w", format="mp4") as output:
                copied = output.add_stream_from_template(stream)
                time_base = packets[0].time_base
                # The last packet may claim to be shorter than what it decodes to.
                length = max(packet.duration or 0 for packet in packets)
                for number, packet in enumerate(islice(cycle(packets), ceil(seconds / (length * time_base)))):
                    # All set anew each time, since muxing moves a packet to the output's time base.
                    packet.time_base = time_base
                    packet.pts = packet.dts = number * length
                    packet.duration = length
                    packet.stream = copied
                    output.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise output_error(target, OSError(error.errno, error.strerror)) from error
