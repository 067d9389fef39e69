"""Timeline: when the packets of a file are presented in its result, whose clock starts at 0 and never jumps.

Belongs here: the one function from times of a source to times of a result, for frames and audio alike, and finding it.
Recordings of transport streams start at any time, and where several were joined their clock starts again. FFmpeg calls
that a discontinuity; what is missing of one stream only is a pause, and stays one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from av.container import InputContainer
from av.format import Flags
from av.rational import AVRational
from av.stream import Stream
from av.video.stream import VideoStream

from dualface_core.media.field_pictures import paired

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AnyPacket = Packet[Any]

_SLOWEST: Final = 1
_FASTEST: Final = 250
_USUAL_RATE: Final = 25
"""Frames per second: what a stream without timestamps may have, and what it has if it doesn't say so."""

_BACK: Final = Fraction(1, 10)
_AHEAD: Final = 10
"""Seconds by which the times of every stream step back, or ahead, at a discontinuity: FFmpeg's thresholds."""


_FINEST: Final = Fraction(1, 10_000_000)
"""Seconds of a unit of the times of a video, at the least. MP4 says in 32 bits, which players read as signed, how long
a frame lasts: 214 s of such units, and about a second of those of a file that counts 2,000,000,000 a second."""
_MICROSECOND: Final = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class Segment:
    """A stretch of a file in which its clock does not jump.

    Attributes:
        position: byte of the file from which on its packets lie.
        begin: when the first of them is presented in the result, in seconds.
        shift: seconds to add to their times.
    """

    position: int
    begin: Fraction
    shift: Fraction


@dataclass(frozen=True)
class Timeline:
    """When the packets of a file are presented in its result.

    Attributes:
        segments: in the order of the file; nearly every file has one.
        by_decoding: whether the container says only when frames are decoded (AVI, elementary streams).
        in_order: whether the times of its packets are not those of their own frames: what is presented first has the
            earliest of them, and so on. So it is where only decoding is timed, and with H.264 in MXF.
        frame_seconds: how long each frame is shown if the container has no times at all; otherwise None.
        unit: seconds of a unit of the video's times in the result, if it is not that of the file; otherwise None.
    """

    segments: tuple[Segment, ...] = (Segment(0, Fraction(0), Fraction(0)),)
    by_decoding: bool = False
    in_order: bool = False
    frame_seconds: Fraction | None = None
    unit: Fraction | None = None

    @property
    def shift(self) -> Fraction:
        """Seconds to add to the times of the first segment."""
        return self.segments[0].shift

    @property
    def jumps(self) -> int:
        """How often the clock of the file jumps."""
        return len(self.segments) - 1

    def unit_of(self, stream: Stream) -> Fraction:
        """Seconds of a unit of the times that the packets of a stream have in the result."""
        return self.unit if self.unit and stream.type == "video" else Fraction(stream.time_base or 1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is changed about the times, for people."""
        notes = []
        if self.shift:
            to = f"{abs(float(self.shift)):.3f} s {'earlier' if self.shift < 0 else 'later'}"
            notes.append(f"All times are {to} than in the file, so that the result begins at 0.")
        if self.frame_seconds:
            rate = float(1 / self.frame_seconds)
            notes.append(f"The file has no timestamps: its frames are shown at its nominal rate, {rate:.6g} a second.")
        if self.unit:
            notes.append("The file counts finer than players do: its frames are shown at the nearest microsecond.")
        if self.jumps:
            first, *_ = self.segments[1:]
            times = "once" if self.jumps == 1 else f"{self.jumps} times"
            notes.append(
                f"The clock of the file jumps {times}, first {float(first.begin):.3f} s into the result, where video "
                "and audio run on without one."
            )
        return tuple(notes)

    def moved(self, packets: Iterable[AnyPacket]) -> Iterator[AnyPacket]:
        """Packets as a demux yields them, with the times of the result. Raises what that raises.

        An empty packet repeats the frame before; it is left out, since decoders take it for the end of the stream. One
        that holds the second field of a frame has no time, and the first one lasts as long as the frame.
        """
        flushing: dict[int, AnyPacket] = {}
        counts: dict[int, int] = {}
        positions = [segment.position for segment in self.segments[1:]]
        shifts: dict[int, list[int]] = {}
        current: dict[int, int] = {}
        for packet, is_second_field in paired(packets):
            index = packet.stream.index
            if not packet.size:
                flushing[index] = packet
                continue
            flushing.pop(index, None)
            if is_second_field:
                yield packet
                continue
            if self.frame_seconds:
                counts[index] = counts.get(index, -1) + 1
                packet.dts = round(counts[index] * self.frame_seconds / Fraction(packet.stream.time_base or 1))
            if self.by_decoding and packet.stream.type == "video":
                packet.pts = packet.dts
            if index not in shifts:
                seconds = Fraction(packet.stream.time_base or 1)
                shifts[index], current[index] = [round(each.shift / seconds) for each in self.segments], 0
            if positions and packet.pos is not None:
                current[index] = max(current[index], bisect_right(positions, packet.pos))
            if shift := shifts[index][current[index]]:
                if packet.pts is not None:
                    packet.pts += shift
                if packet.dts is not None:
                    packet.dts += shift
            if self.unit and packet.stream.type == "video":
                packet.rescale_ts(AVRational(self.unit))
            yield packet
        yield from flushing.values()


def nominal(container: InputContainer, video: VideoStream) -> Timeline:
    """The timeline of a file before its packets are known: how their times are to be read."""
    unit = _MICROSECOND if 0 < Fraction(video.time_base or 0) < _FINEST else None
    if Flags(container.format.flags) & Flags.no_timestamps:
        rate = Fraction(video.guessed_rate or 0)
        if not _SLOWEST <= rate <= _FASTEST:  # what H.264 says of its ticks need not be of its frames
            rate = Fraction(video.average_rate or _USUAL_RATE)
        return Timeline(by_decoding=True, in_order=True, frame_seconds=1 / rate)
    name = container.format.name
    return Timeline(by_decoding=name == "avi", in_order=name in {"avi", "mxf"}, unit=unit)


@dataclass
class _Span:
    """The packets of a stream within a part of a file, in units of the stream's time base.

    Attributes:
        first_decoded, last_decoded: decoding times of the first and the last packet.
        first, last: the earliest and the latest presentation time.
        stated_end: when the last packet ends that says how long it lasts.
        count: of packets.
    """

    first_decoded: int
    last_decoded: int
    first: int
    last: int
    stated_end: int
    count: int = 0

    def add(self, dts: int, pts: int, duration: int) -> None:
        """Take a packet."""
        self.last_decoded = dts
        self.first = min(self.first, pts)
        self.last = max(self.last, pts)
        self.stated_end = max(self.stated_end, pts + duration)
        self.count += 1

    @property
    def end(self) -> int:
        """When the last packet ends; one that doesn't say how long it lasts lasts as long as the average."""
        if self.stated_end > self.last:
            return self.stated_end
        return self.last + round((self.last - self.first) / max(1, self.count - 1))


@dataclass
class _Part:
    """What may be a segment: where it begins, and what each stream, by its index, has in it."""

    position: int
    spans: dict[int, _Span] = field(default_factory=dict)


class TimelineFinder:
    """Sees the packets of a file once, in the order of the file.

    Args:
        container: the file, open.
        assumed: what the times of the packets that it will see come from; one segment.
        video: the stream of the frames.
        audio: the streams of audio that go into the result.
    """

    def __init__(
        self, container: InputContainer, assumed: Timeline, video: VideoStream, audio: Sequence[Stream]
    ) -> None:
        self.assumed = assumed
        self._edited = has_edit_lists(container)
        self._discontinuous = bool(Flags(container.format.flags) & Flags.ts_discont)
        self._seconds = {stream.index: assumed.unit_of(stream) for stream in (video, *audio)}
        self._video = video.index
        self._audio = [stream.index for stream in audio]
        self._usual = {index: (-round(_BACK / unit), round(_AHEAD / unit)) for index, unit in self._seconds.items()}
        self._parts = [_Part(0)]
        self._current = dict.fromkeys(self._seconds, 0)
        self._decoded: dict[int, int] = {}

    def add(self, packet: AnyPacket) -> None:
        """Take the next packet of one of the streams."""
        index, position = packet.stream.index, packet.pos
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None or not packet.size or packet.is_discard:
            return
        dts = packet.dts if packet.dts is not None else self._decoded.get(index, pts)
        least, most = self._usual[index]
        if not (least <= dts - self._decoded.get(index, dts) <= most or self._edited or position is None):
            self._jump(index, position)
        self._decoded[index] = dts
        spans = self._parts[self._part(index, position)].spans
        span = spans.get(index)
        if span is None:
            span = spans[index] = _Span(dts, dts, pts, pts, pts)
        span.add(dts, pts, packet.duration or 0)

    def _part(self, index: int, position: int | None) -> int:
        """The number of the part that a packet belongs to: streams reach a new part one after the other."""
        newest = len(self._parts) - 1
        if self._current[index] < newest and position is not None and position >= self._parts[newest].position:
            self._current[index] = newest
        return self._current[index]

    def _jump(self, index: int, position: int) -> None:
        newest = len(self._parts) - 1
        if self._part(index, position) < newest:  # it follows another stream, though it lies before its first packet
            self._parts[newest].position = position
        elif index in self._parts[newest].spans:
            self._parts.append(_Part(position))
            newest += 1
        self._current[index] = newest

    def timeline(self, first_pts: int) -> Timeline:
        """The timeline of the packets so far; `first_pts` is that of the first frame that can be decoded."""
        origin = self._origin(first_pts * self._seconds[self._video])
        segments = [Segment(0, Fraction(0), -origin)]
        ends: dict[int, Fraction] = {}
        for before, part in pairwise([_Part(0), *self._parts]):
            shift = segments[-1].shift
            begins = {index: span.first * self._seconds[index] for index, span in part.spans.items()}
            if self._is_discontinuity(before, part):
                shift = max(ends[index] - begin for index, begin in begins.items() if index in ends)
                segments.append(Segment(part.position, min(begins.values()) + shift, shift))
            for index, span in part.spans.items():
                end = span.end * self._seconds[index] + shift
                ends[index] = max(ends.get(index, end), end)
        return replace(
            self.assumed, segments=tuple(replace(each, shift=each.shift + self.assumed.shift) for each in segments)
        )

    def _origin(self, first_frame: Fraction) -> Fraction:
        """When, on the clock of the packets, the result begins."""
        if self._edited and not self.assumed.shift:
            return min(first_frame, Fraction(0))
        spans = self._parts[0].spans
        audio = (spans[index].first * self._seconds[index] for index in self._audio if index in spans)
        return (
            begin(first_frame - self.assumed.shift, (time - self.assumed.shift for time in audio)) + self.assumed.shift
        )

    def _is_discontinuity(self, before: _Part, after: _Part) -> bool:
        """Whether the clock itself jumps: then every stream does, and the same way."""
        gaps = {
            index: (span.first_decoded - before.spans[index].last_decoded) * self._seconds[index]
            for index, span in after.spans.items()
            if index in before.spans
        }
        if self._video not in gaps:
            return False
        return max(gaps.values()) < -_BACK or (self._discontinuous and min(gaps.values()) > _AHEAD)


def begin(video: Fraction, audio: Iterable[Fraction]) -> Fraction:
    """When a file begins whose streams begin at these times, in seconds.

    What audio has before 0 is the run-in of its decoder, which nobody hears.
    """
    return min(video, *(max(time, Fraction(0)) for time in audio), video)


def has_edit_lists(container: InputContainer) -> bool:
    """Whether a container's times are those that its author chose: MP4 and MOV."""
    return "mp4" in container.format.name
