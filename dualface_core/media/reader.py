"""Frames out of a file, streaming: upright, square pixels, 8-bit 4:2:0, in presentation order.

Belongs here: decoding and what makes any coded picture look alike (rotation, pixel shape, bit depth). Memory does not
grow with the length of the video: a frame lives for as long as somebody holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from dualface_core.errors import UnreadableVideoError
from dualface_core.media.frames import Frame, Planes
from dualface_core.media.probe import VideoInfo, picture_stream

_PLANAR: Final = {"yuv420p", "yuvj420p"}


class VideoReader:
    """Decodes a video, frame by frame.

    Args:
        video: the file, as `probe` found it.
        threads: decoder threads; 0 lets FFmpeg choose by the number of cores.
        loop_filter: False skips the deblocking filter where the codec allows it: faster, with faint block edges. For
            looking, not for showing.

    Raises UnreadableVideoError where the file cannot be opened or breaks off.
    """

    def __init__(self, video: VideoInfo, *, threads: int = 0, loop_filter: bool = True) -> None:
        self._video = video
        try:
            self._container: InputContainer = av.open(video.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._unreadable(error) from error
        self._stream = picture_stream(self._container, video.path)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = threads
        if not loop_filter:
            self._stream.codec_context.options = {"skip_loop_filter": "all"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Every frame, from where the container stands (the start, for a fresh reader)."""
        last: int | None = None
        for index, picture in enumerate(self._decoded()):
            last = self._pts(picture, last)
            yield self._frame(index, last, picture)

    def at(self, indexes: Sequence[int], pts: Sequence[int]) -> Iterator[Frame]:
        """Selected frames, in ascending order, found by seeking.

        Args:
            indexes: frame numbers, ascending; they become `Frame.index`.
            pts: their presentation timestamps.
        """
        wanted = list(zip(indexes, pts, strict=True))
        time_base = self._video.time_base
        position: int | None = None
        pictures: Iterator[VideoFrame] = iter(())
        far = 2 / time_base  # within two seconds, decoding on is cheaper than seeking
        for index, target in wanted:
            if position is None or target - position > far:
                self._container.seek(target, stream=self._stream, backward=True)
                pictures = self._decoded()
            for picture in pictures:
                position = picture.pts
                if position is not None and position >= target:
                    yield self._frame(index, target, picture)
                    break

    def _decoded(self) -> Iterator[VideoFrame]:
        try:
            yield from self._container.decode(self._stream)
        except av.error.FFmpegError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError | av.error.FFmpegError) -> UnreadableVideoError:
        return UnreadableVideoError(
            self._video.path, f"decoding failed ({error.strerror})", action="Copy or export the video again."
        )

    @staticmethod
    def _pts(picture: VideoFrame, last: int | None) -> int:
        """Its own timestamp; where that is missing or runs backwards, the next possible one."""
        if last is None:
            return picture.pts or 0
        return max(last + 1, picture.pts if picture.pts is not None else last + 1)

    def _frame(self, index: int, pts: int, picture: VideoFrame) -> Frame:
        picture = self._planar(picture)
        planes = tuple(_view(picture, number) for number in range(3))
        turns = self._video.rotation // 90
        if turns:
            planes = tuple(np.ascontiguousarray(np.rot90(plane, turns)) for plane in planes)
        upright: Planes = (planes[0], planes[1], planes[2])
        return Frame(index, pts, float(pts * self._video.time_base), upright, self._video.color, picture)

    def _planar(self, picture: VideoFrame) -> VideoFrame:
        video = self._video
        width, height = (video.width, video.height) if video.rotation % 180 == 0 else (video.height, video.width)
        if picture.format.name in _PLANAR and (picture.width, picture.height) == (width, height):
            return picture
        return picture.reformat(width=width, height=height, format="yuv420p")


def _view(picture: VideoFrame, number: int) -> NDArray[np.uint8]:
    plane = picture.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
