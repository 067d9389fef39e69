"""AudioInfo: what an audio stream is, by its packets, and how its channels are laid out.

Belongs here: reading a stream without decoding it. Doesn't: what becomes of it in a result (`audio`).
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from av.audio.codeccontext import AudioCodecContext
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from dualface_core.media.opening import has_decoder
from dualface_core.media.salvage import Stretch
from dualface_core.media.side_data import side_data
from dualface_core.media.timeline import Timeline

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AnyPacket = Packet[Any]

MP4_AUDIO: Final = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
"""Audio codecs that MP4 carries and common players play; anything else becomes AAC."""

_LEAST_MP3_RATE: Final = 16_000
"""Samples per second: MP4 has no name for the MP3 of telephones (MPEG-2.5)."""

MOST_CHANNELS: Final = 2
"""Channels of audio that is coded anew: what every player and loudspeaker has."""


@dataclass(frozen=True)
class AudioInfo:
    """One audio stream that can be decoded.

    Attributes:
        index: its number among all streams of the file.
        language, title: as the file has them; empty if it doesn't.
        default: whether it is among those that are played unless others are chosen.
        codec: FFmpeg's name.
        sample_rate, channels: of its first packets, in Hz and in number.
        packet_count: its packets.
        start, duration: in seconds.
        timeline: when its packets are presented in a result, and by which all times here are meant.
        changes: seconds at which it changes its form, so that one decoder that was set up for the first form cannot
            follow; empty for nearly every stream.
        trimmed: seconds, other than at its begin and end, at which a packet is to be heard in part only, as where
            recordings were joined. MP4 has no such thing, and a copy would run late from there.
        lost: where it cannot be decoded, in seconds; looked for in a video that is salvaged only.
        moved: packets whose timestamps repeat or step back, so that a copy of them is played a little later.
        most_moved: by how many seconds at most.
    """

    index: int
    language: str
    title: str
    default: bool
    codec: str
    sample_rate: int
    channels: int
    packet_count: int
    start: float
    duration: float
    timeline: Timeline = Timeline()  # noqa: RUF009  it is immutable
    changes: tuple[float, ...] = ()
    trimmed: tuple[float, ...] = ()
    lost: tuple[Stretch, ...] = ()
    moved: int = 0
    most_moved: float = 0.0

    def __str__(self) -> str:
        named = f" ({', '.join(filter(None, [self.title, self.language]))})" if self.title or self.language else ""
        return f"{self.codec}, {self.sample_rate} Hz, {self.channels} channels{named}"

    @property
    def copied(self) -> bool:
        """Whether its packets go into a result as they are; otherwise they are decoded and become AAC."""
        return (
            self.codec in MP4_AUDIO
            and not (self.changes or self.trimmed)
            and (self.codec != "mp3" or self.sample_rate >= _LEAST_MP3_RATE)
        )


def decodable_audio(container: InputContainer) -> list[AudioStream]:
    """The audio streams whose codec and form FFmpeg knows, in the order of the file."""
    return [stream for stream in container.streams.audio if has_decoder(stream) and stream.rate]


def channel_layout(context: AudioCodecContext) -> AudioLayout:
    """The channel layout of a codec; never ask PyAV for `layout` or `channels` of what comes from a file.

    From 17.1 to 18.1, PyAV's AudioLayout shares the list of channels of a custom order with its codec, and both free it
    (docs/pyav-channel-layouts.md). So it is kept for ever, which is 56 bytes.
    """
    layout = context.layout
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout


class Timestamps:
    """Packets of one audio stream, each at a time after the one before: MP4 has no others.

    What repeats or steps back comes at once after its predecessor, a sample later.

    Args:
        stream: a stream of a file that is read, or one that is encoded.
    """

    def __init__(self, stream: AudioStream) -> None:
        self._least_step = max(1, ceil(1 / (stream.rate * seconds_per_pts(stream))))
        self._last: int | None = None
        self._end = 0

    def place(self, packet: AnyPacket) -> int:
        """When a packet is presented, in units of its time base. Call it for every packet, in the order of the file."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None:
            time = self._end
        if self._last is not None:
            time = max(time, self._last + self._least_step)
        self._last, self._end = time, time + (packet.duration or 0)
        return time


def seconds_per_pts(stream: AudioStream) -> Fraction:
    """The time base of a stream; that of an encoder's packets counts samples."""
    return Fraction(stream.time_base or 0) or Fraction(1, stream.rate)


class AudioStreamReader:
    """Sees every packet of an audio stream once, in the order of the file, with the times of a timeline."""

    def __init__(self, stream: AudioStream, timeline: Timeline) -> None:
        self._stream = stream
        self._timeline = timeline
        self._timestamps = Timestamps(stream)
        # What says how packets are to be decoded; an AAC stream that states it nowhere repeats it in each of them.
        self._form: bytes | None = stream.codec_context.extradata
        self._has_headers = stream.codec_context.name == "aac" and not self._form
        self._count = self._moved = self._most_moved = self._end = self._own_end = 0
        self._start: int | None = None
        self._changes: list[int] = []
        self._trimmed: list[int] = []
        self._ends_early = False

    def add(self, packet: AnyPacket) -> None:
        """Take the next packet."""
        if not packet.size:
            return
        own = packet.pts if packet.pts is not None else packet.dts
        time = self._timestamps.place(packet)
        if packet.is_discard:
            return
        own = time if own is None else own
        self._moved += time > own
        self._most_moved = max(self._most_moved, time - own)
        self._own_end = max(self._own_end, own + (packet.duration or 0))
        begins_late, ends_early = _trimming(packet)
        if self._count and (begins_late or self._ends_early):
            self._trimmed.append(time)
        self._ends_early = ends_early
        self._count += 1
        self._start = time if self._start is None else self._start
        self._end = max(self._end, time + (packet.duration or 0))
        form = self._form_of(packet)
        if form is not None and form != self._form:
            if self._form is not None:
                self._changes.append(time)
            self._form = form

    def info(self) -> AudioInfo | None:
        """What the stream is; None if it holds nothing."""
        if self._start is None:
            return None
        stream = self._stream
        seconds = seconds_per_pts(stream)
        info = AudioInfo(
            index=stream.index,
            language=stream.metadata.get("language", ""),
            title=stream.metadata.get("title") or stream.metadata.get("name", ""),  # MP4's is read as a name
            default=bool(stream.disposition & Disposition.default),
            codec=stream.codec_context.codec.canonical_name,
            sample_rate=stream.rate,
            channels=channel_layout(stream.codec_context).nb_channels,
            packet_count=self._count,
            start=float(self._start * seconds),
            duration=float((self._end - self._start) * seconds),
            timeline=self._timeline,
            changes=tuple(float(time * seconds) for time in self._changes),
            trimmed=tuple(float(time * seconds) for time in self._trimmed),
            moved=self._moved,
            most_moved=float(self._most_moved * seconds),
        )
        if info.copied:
            return info
        return replace(info, duration=float((self._own_end - self._start) * seconds), moved=0, most_moved=0.0)

    def _form_of(self, packet: AnyPacket) -> bytes | None:
        """What of a packet says how it and those that follow are to be decoded; None if nothing does.

        AAC has an ADTS header, which is lost in an MP4, or a container says that another description holds from here.
        What other codecs repeat in every packet is copied with them.
        """
        if (form := side_data(packet, "new_extradata")) is not None:
            return form
        if self._has_headers:
            header = bytes(memoryview(packet)[:4])
            if len(header) == 4 and header[0] == 0xFF and header[1] & 0xF6 == 0xF0:
                return bytes([header[2] & 0xFD, header[3] & 0xC0])  # profile, rate and channels
        return None


def _trimming(packet: AnyPacket) -> tuple[bool, bool]:
    """Whether samples at the begin, and at the end, of what a packet decodes to are not to be heard."""
    trimmed = side_data(packet, "skip_samples")
    if trimmed is None:
        return False, False
    begin, end = struct.unpack_from("<II", trimmed)
    return begin > 0, end > 0
