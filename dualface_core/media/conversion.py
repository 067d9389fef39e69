"""Any decoded frame as 8-bit 4:2:0 of one size and one color.

Belongs here: pixel formats, ranges, matrices, and where HDR is turned into SDR. Frames that have the form already are
passed on, untouched.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Final

from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from dualface_core.media.color import FULL_RANGE, ColorInfo
from dualface_core.media.tone_mapping import sdr_cube

_PLANAR: Final = {"yuv420p", "yuvj420p"}
_FILTER_NAMES: Final = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""Of matrices, as FFmpeg's scale filter has them."""

_Form = tuple[str, int, int, tuple[int, int], ColorInfo]
"""Pixel format, width, height, wanted size and color of frames."""


class FrameConverter:
    """Brings the frames of one video into one form.

    Args:
        color: what all frames shall have: the color that `ColorInfo.as_sdr` gives.
        threads: of FFmpeg's filters.
    """

    def __init__(self, color: ColorInfo, threads: int) -> None:
        self._color = color
        self._threads = threads
        self._reformatter = VideoReformatter()
        self._graphs: dict[_Form, Graph] = {}

    def convert(self, decoded: VideoFrame, color: ColorInfo, size: tuple[int, int]) -> VideoFrame:
        """A yuv420p frame; the same one if nothing is to be done.

        Args:
            decoded: the frame.
            color: what it stands for, every tag specified.
            size: width and height that are wanted.
        """
        if not color.looks_as(self._color):
            return self._recolored(decoded, color, size)
        if decoded.format.name in _PLANAR and (decoded.width, decoded.height) == size:
            return decoded
        return self._reformatter.reformat(
            decoded,
            width=size[0],
            height=size[1],
            format="yuv420p",
            src_colorspace=color.matrix,
            src_color_range=color.range,
            dst_colorspace=color.matrix,
            dst_color_range=color.range,
        )

    def _recolored(self, decoded: VideoFrame, color: ColorInfo, size: tuple[int, int]) -> VideoFrame:
        form = (decoded.format.name, decoded.width, decoded.height, size, color)
        if form not in self._graphs:
            self._graphs[form] = self._graph(decoded, color, size)
        graph = self._graphs[form]
        graph.push(decoded)
        return graph.vpull()

    def _graph(self, decoded: VideoFrame, color: ColorInfo, size: tuple[int, int]) -> Graph:
        """Filters that go by way of R'G'B' of 16 bits, since values of 8 bits would be rounded twice."""
        graph = Graph()
        graph.threads = self._threads
        wanted = self._color
        filters = [
            graph.add(
                "buffer",
                video_size=f"{decoded.width}x{decoded.height}",
                pix_fmt=decoded.format.name,
                time_base="1/1",
                colorspace=str(int(decoded.colorspace)),
                range=str(int(decoded.color_range)),
            ),
            graph.add("scale", w=str(size[0]), h=str(size[1]), **_scaling("in", color)),
            graph.add("format", pix_fmts="gbrp16le"),
        ]
        with tempfile.NamedTemporaryFile(suffix=".cube") as cube:
            if color.as_sdr != color:
                Path(cube.name).write_bytes(sdr_cube(color))
                filters.append(graph.add("lut3d", file=cube.name, interp="tetrahedral"))
        filters += [
            graph.add("scale", **_scaling("out", wanted)),
            graph.add("format", pix_fmts="yuv420p"),
            graph.add("buffersink"),
        ]
        for one, next_one in pairwise(filters):
            one.link_to(next_one)
        graph.configure()
        return graph


def _scaling(side: str, color: ColorInfo) -> dict[str, str]:
    """Options of FFmpeg's scale filter for what comes "in" or goes "out"."""
    return {
        f"{side}_color_matrix": _FILTER_NAMES[color.matrix],
        f"{side}_range": "full" if color.range == FULL_RANGE else "limited",
        "flags": "bilinear+accurate_rnd+full_chroma_int",
    }
