"""Reading a damaged video as far as it goes.

Belongs here: going on behind what cannot be read or decoded, and keeping account of it. The one idea: a packet says
when its frame is to be shown even if that cannot be decoded, so that the last good frame can be held until then, and
audio and video stay together. What a decoder conceals by itself is shown, and is no loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

import av.error
from av.container import InputContainer
from av.stream import Discard, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

if TYPE_CHECKING:  # PyAV's packets are generic in its type stubs only
    from av.packet import Packet

    AnyPacket = Packet[Any]

Stretch = tuple[float, float]
"""Begin and end in seconds."""

TRY_SALVAGE: Final = (
    "Copy or export the video again, or run with --salvage (salvage of raw_video in Dagster), which makes a result of "
    "what can be decoded."
)
"""What to do about a damaged video."""

_MOST_FAILURES: Final = 10_000
"""Attempts in a row to read a packet; an index may promise as many that are not there."""

_MOST_STRETCHES: Final = 20
"""Places that a sentence names."""

_GAP: Final = 1.5
"""Times the usual step between two frames from which on one is missing."""


def demuxed(container: InputContainer, *streams: Stream, salvage: bool) -> Iterator[AnyPacket]:
    """Packets of some streams; at the end, those that flush decoders. From then on, the container reads no others.

    Raises what PyAV raises. With `salvage`, what a demuxer cannot read is gone past.
    """
    for stream in container.streams:
        stream.discard = Discard.default if stream in streams else Discard.all
    failures = 0
    while failures < _MOST_FAILURES:
        try:
            for packet in container.demux(*streams):
                failures = 0
                yield packet
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError):
            if not salvage:
                raise
            failures += 1
        except IndexError:  # of PyAV, at the very end, where a stream has appeared that was not there at the start
            return
        else:
            return


def first_decoded(stream: VideoStream, packet: AnyPacket, *, salvage: bool) -> VideoFrame | None:
    """The first frame that a packet gives, if any. Raises what PyAV raises; with `salvage`, damage gives none."""
    try:
        return next(iter(stream.decode(packet)), None)
    except av.error.FFmpegError:
        if not salvage:
            raise
        return None


class Stretches:
    """Stretches of a stream, in order; those that touch are one.

    Args:
        step: usual distance of two frames, in units of the stream's time base.
    """

    def __init__(self, step: float) -> None:
        self.step = round(step)
        self._stretches: list[tuple[int, int]] = []

    def add(self, begin: int, end: int | None = None) -> None:
        """Add a stretch, in units of the time base; one frame, if it has no end."""
        end = begin + self.step if end is None else end
        if self._stretches and begin <= self._stretches[-1][1] + self.step // 2:
            begin, end = self._stretches[-1][0], max(end, self._stretches.pop()[1])
        self._stretches.append((begin, end))

    def seconds(self, time_base: Fraction) -> list[Stretch]:
        """All of them in seconds."""
        return [(float(begin * time_base), float(end * time_base)) for begin, end in self._stretches]


class Damage:
    """What is known of the damage in a stream, frame by frame.

    Args:
        time_base: of the stream.
        rate: frames per second, about.

    Attributes:
        lost: where no frame could be decoded.
        concealed: where frames were decoded as far as they could, or depend on such, until the next key frame.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        self._time_base = time_base
        self._step = float(1 / (rate * time_base))
        self.lost, self.concealed = Stretches(self._step), Stretches(self._step)
        self._tainted = self._suspected = False
        self._held: int | None = None
        self._last: int | None = None

    def hold(self, pts: int) -> None:
        """The frame that comes next is the last good one, in place of one that is lost."""
        self._held = pts

    def suspect(self) -> None:
        """A packet may be damaged, or some may be missing before it: where streams were joined it is neither."""
        self._suspected = True

    def see(self, frame: VideoFrame, pts: int) -> None:
        """Take the next frame that is shown."""
        held = pts == self._held
        damaged = held or self._tainted or frame.is_corrupt
        gap = self._last is not None and pts - self._last > _GAP * self._step
        # Behind a join a key frame may come after a pause.
        missing = damaged or (self._suspected and not frame.key_frame)
        if gap and missing and self._last is not None:
            self.lost.add(self._last + round(self._step), pts)
            damaged = True
        self._tainted = held or frame.is_corrupt or (damaged and not frame.key_frame)
        self._suspected = self._suspected and not frame.key_frame
        if held:
            self.lost.add(pts)
        elif self._tainted:
            self.concealed.add(pts)
        self._last = pts

    @property
    def notes(self) -> list[str]:
        """The same for people, with times."""
        lost, concealed = self.lost.seconds(self._time_base), self.concealed.seconds(self._time_base)
        notes = []
        if lost:
            notes.append(f"Frames are lost to damage, and the last good one is held instead: {listed(lost)}.")
        if concealed:
            notes.append(f"Frames are damaged, or depend on damaged ones, and may look so: {listed(concealed)}.")
        return notes


class SalvagedFrames:
    """Decodes the frames of a damaged stream, the last good one again and again where they cannot be decoded.

    Args:
        stream: of one decoder thread, so that every pass over the file finds the same frames.
        damage: is told what could not be decoded.
    """

    def __init__(self, stream: VideoStream, damage: Damage) -> None:
        self._stream = stream
        self._damage = damage
        self._awaited: list[int] = []
        self._failing = False
        self._last: VideoFrame | None = None
        self._end = 0

    def of(self, packets: Iterable[AnyPacket]) -> Iterator[VideoFrame]:
        """Frames in presentation order; nothing before the first that can be decoded."""
        for packet in packets:
            try:
                frames = self._stream.decode(packet)
            except av.error.EOFError:
                break
            except av.error.FFmpegError:
                frames = []
                self._failing = True
                if packet.pts is None:
                    self._damage.suspect()
            if packet.is_corrupt:
                self._failing = True
                self._damage.suspect()
            if self._failing and packet.size and packet.pts is not None and not packet.is_discard:
                heappush(self._awaited, packet.pts)
            for frame in frames:
                if frame.pts is not None:
                    if self._failing and self._last is not None and frame.pts <= self._end:
                        continue  # out of its order; at its time another was held
                    yield from self._held(frame.pts)
                    self._end = frame.pts
                self._last = frame
                # What follows a key frame does not depend on what was lost.
                self._failing = self._failing and not (frame.key_frame and not self._awaited)
                yield frame
        yield from self._held(None)

    def _held(self, until: int | None) -> Iterator[VideoFrame]:
        """The last good frame at every time before `until`, or before the end, at which one was to be shown."""
        last = self._last
        while self._awaited and (until is None or self._awaited[0] <= until):
            pts = heappop(self._awaited)
            if last is not None and self._end < pts and pts != until:
                self._damage.hold(pts)
                last.pts = self._end = pts
                yield last


def listed(stretches: Sequence[Stretch]) -> str:
    """Name places of a video in a sentence, the first of them if there are many."""
    places = ", ".join(f"{begin:.2f} to {end:.2f} s" for begin, end in stretches[:_MOST_STRETCHES])
    return places + (f" and {len(stretches) - _MOST_STRETCHES} more" if len(stretches) > _MOST_STRETCHES else "")
