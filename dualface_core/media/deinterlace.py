"""Deinterlacing: frames that hold two moments, one in every other line, become frames of one moment each.

Belongs here: FFmpeg's bwdif, which interpolates what a field lacks in space and in time. Frames that are not marked as
interlaced stay as they are, whatever telecine has made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice

import av.error
from av.filter.graph import Graph
from av.video.frame import VideoFrame


class Deinterlacer:
    """Makes interlaced frames progressive, from the first of them on.

    Args:
        time_base: seconds per unit of the frames' pts.
        fields: whether each field becomes a frame of its own; otherwise the two of a frame become one. Times are in
            half units of the time base then, since a second field lies between two frames.
    """

    def __init__(self, time_base: Fraction, *, fields: bool) -> None:
        self._time_base = time_base
        self._fields = fields

    def frames(self, decoded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Frames in presentation order, each after the one that follows it was taken: bwdif looks at both sides.

        What becomes of a frame depends on its neighbors only, and not on where the frames begin.
        """
        graph: Graph | None = None
        before: VideoFrame | None = None
        for frame in decoded:
            if graph is None and not (frame.interlaced_frame or self._fields):
                yield frame
                before = frame
                continue
            goes_on = before is not None and _form(before) == _form(frame)
            if graph is None and before is not None and goes_on:
                graph = self._graph(frame)
                graph.push(before)
                graph.push(frame)
                yield from islice(self._pulled(graph), 1, None)  # the one before was given already
            else:
                if graph is None or not goes_on:
                    yield from self._rest(graph)
                    graph = self._graph(frame)
                graph.push(frame)
                yield from self._pulled(graph)
            before = frame
        yield from self._rest(graph)

    def _graph(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base=str(self._time_base),
            colorspace=str(int(frame.colorspace)),
            range=str(int(frame.color_range)),
        )
        mode, which = ("send_field", "all") if self._fields else ("send_frame", "interlaced")
        bwdif = graph.add("bwdif", mode=mode, deint=which)
        graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
        return graph

    def _rest(self, graph: Graph | None) -> Iterator[VideoFrame]:
        if graph is not None:
            graph.push(None)
            yield from self._pulled(graph)

    def _pulled(self, graph: Graph) -> Iterator[VideoFrame]:
        while True:
            try:
                frame = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, VideoFrame)
            if frame.pts is not None and not self._fields:
                frame.pts //= 2  # bwdif counts in half units of the time base
            yield frame


def _form(frame: VideoFrame) -> tuple[int, int, str]:
    """What all frames of a filter graph have in common."""
    return frame.width, frame.height, frame.format.name
