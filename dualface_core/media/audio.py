"""Audio on its way into an MP4: packets copied where MP4 can carry them, otherwise encoded as AAC.

Belongs here: the audio stream of what is written. Doesn't: comparing the packets of two files (`packets`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, cycle, islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import av.error
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from numpy.typing import NDArray

from dualface_core.errors import UnreadableVideoError, UnsupportedVideoError
from dualface_core.media.opening import open_input, opened, said_by_ffmpeg, unreadable
from dualface_core.system.atomic_files import output_error

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AudioPacket = Packet[AudioStream]

MP4_AUDIO: Final = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
"""Audio codecs that MP4 carries and common players play; anything else becomes AAC."""

_AAC_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Samples per second; AAC knows higher ones, but few players do."""

_FAILED: Final = "its audio cannot be read"

_JITTER: Final = 0.002
"""Seconds by which timestamps may be rounded: less is no gap."""


class AudioTrack:
    """The first audio stream of a file on its way into a container: copied, or encoded as AAC."""

    def __init__(self, source: Path, container: InputContainer) -> None:
        self._source = source
        self._container = container
        self._stream = container.streams.audio[0]
        self._copies = self._stream.codec_context.codec.canonical_name in MP4_AUDIO
        self._packets: Iterator[AudioPacket] = iter(())
        self._target: AudioStream | None = None
        self._next: AudioPacket | None = None

    @classmethod
    def open(cls, source: Path) -> AudioTrack | None:
        """Open the audio of a file. None where it has none. Raises UnreadableVideoError."""
        container = open_input(source)
        if not container.streams.audio:
            container.close()
            return None
        return cls(source, container)

    @property
    def rate(self) -> int:
        """Samples per second of what is written."""
        rate = self._stream.rate
        return rate if self._copies else min((known for known in _AAC_RATES if known >= rate), default=max(_AAC_RATES))

    def add_to(self, output: OutputContainer) -> None:
        """Add an audio stream to `output`."""
        if self._copies:
            self._target = output.add_stream_from_template(self._stream)
            self._packets = self._copied()
            return
        self._target = output.add_stream("aac", rate=self.rate)
        channels = min(2, self._stream.channels)
        self._target.codec_context.layout = "mono" if channels == 1 else "stereo"
        self._target.codec_context.bit_rate = 96_000 * channels
        self._packets = self._encoded(self._target)

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
            found = f"an MP4 cannot hold its audio, {self._stream.codec_context.name} at {self._stream.rate} Hz"
            raise UnsupportedVideoError(self._source, found, action="Export it with AAC audio at 48,000 Hz.") from error

    def close(self) -> None:
        """Close the source."""
        self._container.close()

    def _read(self) -> AudioPacket | None:
        try:
            return next(self._packets, None)
        except (av.error.FFmpegError, OSError) as error:
            raise unreadable(self._source, _FAILED, error) from error

    def _copied(self) -> Iterator[AudioPacket]:
        for packet in self._container.demux(self._stream):
            if packet.size:  # the last one of a demux is an empty one that flushes decoders
                if packet.dts is None:
                    packet.dts = packet.pts
                yield packet

    def _encoded(self, target: AudioStream) -> Iterator[AudioPacket]:
        context = target.codec_context
        resampler = AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size or None)
        for frame in self._container.decode(self._stream):
            for part in resampler.resample(frame):
                yield from target.encode(part)
        for part in resampler.resample(None):
            yield from target.encode(part)
        yield from target.encode(None)


def read_blocks(path: Path, *, rate: int, channels: int, start: float, size: int) -> Iterator[NDArray[np.float32]]:
    """Decode the first audio stream of a file into blocks of equal length, each at its time.

    Args:
        path: the file.
        rate: samples per second of the blocks.
        channels: 1 or 2.
        start: seconds on the file's own clock at which the first block begins; what comes before is left out.
        size: samples of a block. What is missing between two packets, and at the end, is silence.

    Yields (channels, size) float32, full scale being 1. Raises UnreadableVideoError.
    """
    resampler = AudioResampler("fltp", "mono" if channels == 1 else "stereo", rate)
    waiting, done = np.zeros((channels, 0), np.float32), 0
    with opened(path, _FAILED) as container:
        for frame in chain(container.decode(container.streams.audio[0]), [None]):
            for part in resampler.resample(frame):
                samples = np.asarray(part.to_ndarray(), np.float32)
                if part.pts is not None and part.time_base is not None:
                    gap = round((float(part.pts * part.time_base) - start) * rate) - done - waiting.shape[1]
                    if gap < 0:
                        samples = samples[:, -gap:] if -gap > rate * _JITTER else samples
                    elif gap > rate * _JITTER:
                        samples = np.pad(samples, ((0, 0), (gap, 0)))
                waiting = np.concatenate([waiting, samples], axis=1)
                while waiting.shape[1] >= size:
                    yield waiting[:, :size]
                    waiting, done = waiting[:, size:], done + size
    if waiting.shape[1]:
        yield np.pad(waiting, ((0, 0), (0, size - waiting.shape[1])))


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
        if not container.streams.audio:
            raise UnsupportedVideoError(source, "it has no audio", action="Choose a file that has.")
        stream = container.streams.audio[0]
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
