"""Frames out of a file, streaming: upright, square pixels, 8-bit 4:2:0, in presentation order.

Belongs here: decoding and what makes any coded frame look alike (rotation, pixel shape, bit depth). Memory does not
grow with the length of the video: a frame lives for as long as somebody holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from heapq import heappop, heappush
from itertools import chain, pairwise, starmap
from typing import Final, Self

import av.error
import numpy as np
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame

from dualface_core.errors import UnreadableVideoError, UnsupportedVideoError
from dualface_core.media.changes import Changes, Shape
from dualface_core.media.color import ColorInfo, color_of, container_color, tags_until_key_frames
from dualface_core.media.conversion import FrameConverter
from dualface_core.media.deinterlace import Deinterlacer
from dualface_core.media.frames import CENTER, LEFT, Frame, Planes
from dualface_core.media.letterbox import fitted_size, with_bars
from dualface_core.media.limits import Limits
from dualface_core.media.opening import SEND_AGAIN, open_input, unreadable
from dualface_core.media.probe import VideoInfo, video_stream
from dualface_core.media.salvage import TRY_SALVAGE, Damage, SalvagedFrames, Stretch, demuxed
from dualface_core.media.spans import Span
from dualface_core.system.machine_cores import machine_cores

_MOST_THREADS: Final = 4
_MOST_READERS: Final = 8
_PIXELS_SIDE_BY_SIDE: Final = _MOST_READERS * 1920 * 1088
"""Of the frames of readers that are at work side by side: each holds some."""
_FAILED: Final = "decoding failed"
_LAST_FRAMES: Final = 4
"""Frames among which that of the last packet is: reordered frames are shown before others that are stored first."""
_CENTERED: Final = {"mjpeg", "mpeg1video"}
"""Codecs whose chroma is in the middle of four luma samples. PyAV doesn't tell what a frame says of that."""
_SKIPPING: Final = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}
"""Codecs whose decoders begin and end to skip frames whenever they are told to. Others read that once, at the start."""
_SEEKABLE: Final = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts"}
"""Formats whose timestamps after a seek are those of reading from the start. AVI has none for frames out of order,
and MPEG program streams have them for some packets only."""


def is_seekable(video: VideoInfo) -> bool:
    """Whether frames in the middle of a video can be read without those before, by their pts."""
    return not (video.salvage or video.splits_fields or video.timeline.jumps) and video.container in _SEEKABLE


def frames_at(video: VideoInfo, indexes: Sequence[int], pts: Sequence[int]) -> list[Frame]:
    """Selected frames, as `VideoReader.at` gives them: by several readers side by side, where that reads nothing twice.

    Raises as VideoReader does.
    """
    most = min(_MOST_READERS, machine_cores(), _PIXELS_SIDE_BY_SIDE // (video.coded_width * video.coded_height))
    readers = min(len(indexes), most) if is_seekable(video) else 1

    def read(part: slice) -> list[Frame]:
        with VideoReader(video, threads=int(readers > 1)) as reader:
            return list(reader.at(indexes[part], pts[part]))

    stops = [len(indexes) * number // max(1, readers) for number in range(max(1, readers) + 1)]
    with ThreadPoolExecutor(max(1, readers)) as pool:
        return list(chain.from_iterable(pool.map(read, starmap(slice, pairwise(stops)))))


class VideoReader:
    """Decodes a video, frame by frame.

    Args:
        video: the file, as `probe` found it.
        threads: decoder threads; 0 takes one per core, up to 4: each holds frames, and more are not faster than
            what is done with the frames.
        loop_filter: False skips the deblocking filter where the codec allows it: faster, with faint block edges. For
            looking, not for showing.
        span: the frames that iterating gives, one of `engine.spans.spans`; all of the video if None.
        hardware: what decodes instead of the CPU.

    Raises UnreadableVideoError where the file cannot be opened or breaks off, or what `read_error` gives. Unless it is
    salvaged, iterating raises it at the first damaged frame, too: several threads conceal damage differently each time.
    A recording may end within a frame, though. Of a span, it raises it if the frames are not those that the span names.
    """

    def __init__(
        self,
        video: VideoInfo,
        *,
        threads: int = 0,
        loop_filter: bool = True,
        span: Span | None = None,
        hardware: HWAccel | None = None,
    ) -> None:
        self._video = video
        self._hardware = hardware
        # One thread, so that every pass over a damaged video finds the same frames.
        self._threads = 1 if video.salvage else threads or min(_MOST_THREADS, machine_cores())
        self._loop_filter = loop_filter
        self._span = span or Span(0, video.frame_count, video.first_pts, None)
        self._entry: int | None = None
        self._from = video.first_pts
        self.changes = Changes()
        """What is not the same in all frames read so far. Those of the spans of a video are to be joined."""
        self.notes: list[str] = []
        """What of the frames was changed or repaired, in sentences with figures; complete when all were read."""
        self.lost: list[Stretch] = []
        """What could not be decoded, once all of the video was read."""
        self.concealed: list[Stretch] = []
        """What was decoded as far as possible, or depends on such, once all of the video was read."""
        self._damage = Damage(video.time_base, video.average_rate)
        self._converter = FrameConverter(video.color, self._threads)
        turned = video.orientation.transposes
        self._frame_size = (video.height, video.width) if turned else (video.width, video.height)
        self._colors: dict[ColorInfo, ColorInfo] = {}
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __iter__(self) -> Iterator[Frame]:
        """Every frame of the span, in order. Of a whole video, from where the container stands; at first, the start."""
        self.changes = Changes()
        self._damage = Damage(self._video.time_base, self._video.average_rate)
        for index, pts, decoded in self._numbered():
            self._damage.see(decoded, pts)
            if decoded.is_corrupt and not self._video.salvage:
                self._refuse_damage(self._seconds(pts))
            yield self._frame(index, pts, decoded)
        self.lost = self._damage.lost.seconds(self._video.time_base)
        self.concealed = self._damage.concealed.seconds(self._video.time_base)
        self.notes += [*self.changes.notes(self._video), *self._damage.notes]

    def of(self, span: Span) -> Self:
        """The same reader, whose next frames are those of another span: on a card, to open one takes long."""
        self._span, self.changes = span, Changes()
        if span.is_whole:
            self._reopen()
        return self

    def _numbered(self) -> Iterator[tuple[int, int, VideoFrame]]:
        """The frames of the span, each with its number and pts."""
        span, last = self._span, None
        number, self._from = (0, self._video.first_pts) if span.is_whole else (span.first, span.first_pts)
        for decoded in self._decoded() if span.is_whole else self._decoded_from(self._from):
            pts = self._pts(decoded, last)
            if pts < self._from and not span.is_whole:
                continue
            if span.stop_pts is not None and pts >= span.stop_pts:
                break
            yield number, pts, decoded
            number += 1
            last = pts
        if span.stop_pts is not None:
            self._check_seam(number)

    def _check_seam(self, number: int) -> None:
        """Raise UnreadableVideoError unless the frame at the end of the span has the number that it should have."""
        span, video = self._span, self._video
        if number != span.stop:
            begin, end = (float(pts * video.time_base) for pts in (span.first_pts, span.stop_pts or 0))
            found = f"from {begin:.2f} to {end:.2f} s it has frames up to number {number - 1} and not {span.stop - 1}"
            raise UnreadableVideoError(video.path, found, action=SEND_AGAIN)

    def _refuse_damage(self, time: float) -> None:
        """Raise UnreadableVideoError for a damaged frame, unless it may be that of a last packet cut short."""
        video = self._video
        if time < video.last_pts * video.time_base - _LAST_FRAMES / video.average_rate:
            raise UnreadableVideoError(video.path, f"damaged at {time:.2f} s", action=TRY_SALVAGE)

    def at(self, indexes: Sequence[int], pts: Sequence[int]) -> Iterator[Frame]:
        """Selected frames, in ascending order, found by seeking where the container's index can be relied on.

        Args:
            indexes: frame numbers, ascending; they become `Frame.index`.
            pts: their presentation timestamps. A frame that the file doesn't have is left out.
        """
        wanted = list(zip(indexes, pts, strict=True))
        if not is_seekable(self._video):
            yield from self._picked(dict(wanted))
            return
        position: int | None = None
        decoded_frames: Iterator[VideoFrame] = iter(())
        for index, target in wanted:
            if position is None or self._better_sought(position, target):
                decoded_frames = self._decoded_from(target)
            for decoded in decoded_frames:
                position = decoded.pts
                if position is not None and position >= target:
                    yield self._frame(index, target, decoded)
                    break

    def _better_sought(self, position: int, target: int) -> bool:
        """Whether seeking is likely to save work: not within two seconds, nor to a key frame that lies behind."""
        far = 2 / self._video.time_base
        entries = self._stream.index_entries
        found = entries.search_timestamp(self._stored(target)) if len(entries) else -1
        return target - position > far and (found < 0 or entries[found].timestamp > self._stored(position))

    def _picked(self, wanted: dict[int, int]) -> Iterator[Frame]:
        """Frames by their number, decoding from the start."""
        self._reopen()
        last = max(wanted, default=-1)
        for index, decoded in enumerate(self._decoded()):
            if index in wanted:
                yield self._frame(index, wanted[index], decoded)
            if index >= last:
                return

    def _open(self) -> None:
        video = self._video
        # A frame in the middle may be larger than the first; never larger than what `probe` allows.
        limits = Limits(pixels=max(Limits().pixels, video.coded_width * video.coded_height))
        self._container: InputContainer = open_input(video.path, limits, self._hardware)
        self._stream = video_stream(self._container, video.path)
        self._first_aspect = self._stream.codec_context.sample_aspect_ratio or 1
        self._container_color = container_color(self._container, self._stream)
        if self._hardware is None:
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = self._threads
        skipped = {} if self._loop_filter else {"skip_loop_filter": "all"}
        self._stream.codec_context.options = {**limits.decoder_options, **skipped}

    def _reopen(self) -> None:
        """Go to the start: not every container can seek there, but every file can be opened again."""
        self._close()
        self._open()

    def _close(self) -> None:
        # Lets the decoder's threads end while others may run. Closing waits for them with Python's lock held, and one
        # of them that has a line for the log would wait for that lock.
        self._stream.codec_context.flush_buffers()
        self._container.close()

    def _decoded_from(self, target: int) -> Iterator[VideoFrame]:
        """Progressive frames from `target` on, and some before it or none."""
        needed = target if self._video.codec in _SKIPPING else None
        coded = tags_until_key_frames(self._coded_from(target, needed=needed))
        first = next((frame for frame in coded if frame.pts is not None and frame.pts >= target), None)
        if first is None:
            return iter(())
        if first.interlaced_frame and target > self._video.first_pts:  # it depends on the frame before
            return self._progressive(tags_until_key_frames(self._coded_from(target - 1)))
        return self._progressive(chain([first], coded))

    def _coded_from(self, target: int, *, needed: int | None = None) -> Iterator[VideoFrame]:
        """Frames from a key frame on that is shown at `target` or before; see `_coded`.

        Containers look for a key frame by decoding time, or by guess. The one that they find may be shown later than
        `target`, if frames shown before it are stored after it (open GOPs), and some decoders give those, too, without
        what they refer to.
        """
        back = 0
        while target - back > self._video.first_pts:
            self._seek(target - back)
            coded = self._coded(needed)
            first = next(coded, None)
            times = [] if first is None else [first.pts, self._entry]
            if first is not None and all(time is not None and time <= target for time in times):
                return chain([first], coded)
            back = max(2 * back, round(1 / self._video.time_base))
        self._reopen()
        return self._coded(needed)

    def _seek(self, pts: int) -> None:
        try:
            self._container.seek(self._stored(pts), stream=self._stream, backward=True)
        except av.error.FFmpegError as error:
            raise unreadable(self._video.path, _FAILED, error) from error

    def _stored(self, pts: int) -> int:
        """The time that the file has for a pts, in its own units; of those that it may be, the latest."""
        timeline = self._video.timeline
        seconds = pts * self._video.time_base + (timeline.unit or 0) / 2 - timeline.shift
        return round(seconds / Fraction(self._stream.time_base or 1))

    def _decoded(self) -> Iterator[VideoFrame]:
        """Progressive frames, from where the container stands."""
        return self._progressive(tags_until_key_frames(self._coded()))

    def _progressive(self, coded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        video = self._video
        deinterlacer = Deinterlacer(video.time_base * (2 if video.splits_fields else 1), fields=video.splits_fields)
        return deinterlacer.frames(self._counted(coded))

    def _counted(self, coded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """The same frames; of those of the span, the interlaced ones are noted."""
        span = self._span
        for frame in coded:
            pts = span.first_pts if frame.pts is None else frame.pts
            is_within = self._from <= pts and (span.stop_pts is None or pts < span.stop_pts)
            if frame.interlaced_frame and (is_within or span.is_whole):
                self.changes.interlaced.append(float(pts * self._video.time_base))
            yield frame

    def _coded(self, needed: int | None = None) -> Iterator[VideoFrame]:
        """Frames as they are coded, from where the container stands.

        Those before the pts `needed` that no other frame refers to are left out, if the codec allows it.
        """
        video, context = self._video, self._stream.codec_context
        end, damaged = video.first_pts, False
        self._entry = None
        packets = video.timeline.moved(demuxed(self._container, self._stream, salvage=video.salvage))
        if video.salvage:
            yield from SalvagedFrames(self._stream, self._damage).of(packets)
            return
        times: list[int] = []
        try:
            for packet in packets:
                if packet.is_corrupt:
                    self._damage.suspect()
                    damaged = True
                if self._entry is None and packet.is_keyframe:
                    self._entry = packet.pts
                if video.timeline.in_order and packet.pts is not None:
                    heappush(times, packet.pts)
                is_needed = needed is None or packet.pts is None or packet.pts >= needed
                context.skip_frame = "DEFAULT" if is_needed else "NONREF"
                for frame in self._stream.decode(packet):
                    if times:
                        frame.pts = heappop(times)
                    if damaged and frame.pts is not None and frame.pts < end:
                        continue  # behind damage a decoder may give a frame when its time has passed
                    end = end if frame.pts is None else frame.pts
                    yield frame
        except av.error.FFmpegError as error:
            failed = f"{_FAILED} behind {float(end * video.time_base):.2f} s"
            raise unreadable(video.path, failed, error, action=TRY_SALVAGE) from error

    @staticmethod
    def _pts(decoded: VideoFrame, last: int | None) -> int:
        """Its own timestamp; where that is missing or runs backwards, the next possible one."""
        if last is None:
            return decoded.pts or 0
        return max(last + 1, decoded.pts if decoded.pts is not None else last + 1)

    def _seconds(self, pts: int) -> float:
        """A time, as near as a number can be: what the fraction would give, without the time to make one."""
        base = self._video.time_base
        return pts * base.numerator / base.denominator

    def _frame(self, index: int, pts: int, decoded: VideoFrame) -> Frame:
        frame, time, shape = self._frame_size, self._seconds(pts), self._shape(decoded)
        self.changes.see_shape(time, shape)
        orientation = self._video.orientation
        color = self._color(decoded, time)
        self.changes.see_color(time, color)
        converted = self._converter.convert(decoded, color, self._size_in(frame, shape))
        planes = orientation.upright(with_bars(planes_of(converted), frame, self._video.color.range))
        # Of what has chroma in every column FFmpeg averages two of them for a sample, which then lies between them.
        centered = self._video.codec in _CENTERED or decoded.format.chroma_width(2) == 2
        siting = CENTER if centered else LEFT
        return Frame(index, pts, time, planes, self._video.color, converted, orientation.siting(siting, *frame))

    def _shape(self, decoded: VideoFrame) -> Shape:
        """Width, height and pixel shape of a frame as it is coded."""
        aspect = self._stream.codec_context.sample_aspect_ratio or Fraction(1)
        # What the codec says counts only where it changes: a container may have said something else from the start.
        # PyAV doesn't tell a frame's own pixel shape, so frames within the decoder's delay have the next one's.
        aspect = self._video.sample_aspect_ratio if aspect == self._first_aspect else aspect
        return decoded.width, decoded.height, aspect

    def _size_in(self, frame: tuple[int, int], shape: Shape) -> tuple[int, int]:
        """Width and height of a picture in a frame; those of the frame but for a shape that is not the first one."""
        video = self._video
        first = (video.coded_width, video.coded_height, video.sample_aspect_ratio)
        return frame if shape == first else fitted_size(*shape, frame)

    def _color(self, decoded: VideoFrame, time: float) -> ColorInfo:
        """What a frame's samples stand for."""
        stated = color_of(decoded)
        if stated in self._colors:
            return self._colors[stated]
        color = stated.over(self._container_color).completed(self._video.coded_height)
        if not color.matrix_is_known:
            found = f"from {time:.2f} s on, its colors are coded in a way that is not supported (matrix {color.matrix})"
            raise UnsupportedVideoError(self._video.path, found, action="Export it as SDR (BT.709).")
        self._colors[stated] = color
        return color


def planes_of(frame: VideoFrame) -> Planes:
    """Y, U and V of a yuv420p frame of PyAV's, as views of its memory."""
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    return y, u, v
