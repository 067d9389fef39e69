"""Deinterlacing: frames that hold two moments, one in every other line, become frames of one moment each.

Belongs here: FFmpeg's bwdif, which interpolates what a field lacks in space and in time. Frames that are not marked as
interlaced stay as they are, whatever telecine has made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av.error
from av.filter.graph import Graph
from av.video.frame import VideoFrame


class Deinterlacer:
    """Makes interlaced frames progressive, from the first of them on.

    Args:
        time_base: seconds per unit of the frames' pts.
        fields: whether each field becomes a frame of its own; otherwise the two of a frame become one. Times are in
            half units of the time base then, since a second field lies between two frames.

    Attributes:
        count: interlaced frames so far.
    """

    def __init__(self, time_base: Fraction, *, fields: bool) -> None:
        self._time_base = time_base
        self._fields = fields
        self.count = 0

    def frames(self, decoded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Frames in presentation order, each after the one that follows it was taken: bwdif looks at both sides."""
        graph: Graph | None = None
        form: tuple[int, int, str] | None = None
        for frame in decoded:
            self.count += frame.interlaced_frame
            if graph is None and not (frame.interlaced_frame or self._fields):
                yield frame
                continue
            found = frame.width, frame.height, frame.format.name
            if graph is None or found != form:
                yield from self._rest(graph)
                graph, form = self._graph(frame), found
            graph.push(frame)
            yield from self._pulled(graph)
        yield from self._rest(graph)

    @property
    def notes(self) -> list[str]:
        """What was changed, for people."""
        if not self.count:
            return []
        become = "its two fields become a frame each" if self._fields else "its two fields become one frame"
        return [f"{self.count} frames are interlaced and were deinterlaced (bwdif): of each, {become}."]

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
