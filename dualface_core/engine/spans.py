"""Where a video may be split, so that its parts can be read side by side and in sum are what one pass gives.

Belongs here: the choice of the seams, by what the packets say; nothing is decoded. That a reader of a span gives
exactly its frames, whatever a container finds when it seeks, is `VideoReader`'s business.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.media.packets import frame_packets
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import is_seekable
from dualface_core.media.spans import Span

__all__ = ["Span", "spans"]

_KEPT: Final = 8
"""Videos whose packets are remembered: each step splits its video anew, and a source and a result belong to a job."""


def spans(video: VideoInfo, *, seconds: float) -> list[Span]:
    """Split a video at key frames into spans of `seconds` or more; the same for the same file and `seconds`.

    Where key frames are further apart than twice `seconds`, it is split between them, too, into as few spans of at most
    so much as that takes: frames between a key frame and a seam are decoded for both of its sides. A video that cannot
    be split is one span: one that is salvaged, whose fields are coded or become frames of their own, whose container or
    clock does not lead to a frame by its time, or whose size or color tags may change, since decoders remember the tags
    of what came before. Every packet is looked at, once for a file.

    Raises UnreadableVideoError where the file cannot be read.
    """
    file = _File(video.path, video.fingerprint, video.first_pts, video.frame_count, video)
    packets = _packets(file) if is_seekable(video) else None
    if packets is None:
        return [Span(0, video.frame_count, video.first_pts, None)]
    pts, keys = packets
    least = max(1, round(seconds / video.time_base))
    seams = list(_seams(video.first_pts, keys, video.last_pts + video.last_duration, least))
    edges = np.unique([0, *np.searchsorted(pts, seams), len(pts)]).tolist()
    begins = [int(pts[edge]) for edge in edges[:-1]]
    entries = np.unique([video.first_pts, *keys])
    to_reach = begins - entries[np.searchsorted(entries, begins, side="right") - 1]
    return [
        Span(first, stop, begin, end, reach)
        for (first, stop), begin, end, reach in zip(
            pairwise(edges), begins, [*begins[1:], None], to_reach.tolist(), strict=True
        )
    ]


@dataclass(frozen=True)
class _File:
    """A video, which is the same one as long as its content is, and what is shown of it."""

    path: Path
    fingerprint: str
    first_pts: int
    frame_count: int
    video: VideoInfo = field(compare=False)


@lru_cache(_KEPT)
def _packets(file: _File) -> tuple[NDArray[np.int64], list[int]] | None:
    """When the frames of a file are shown, and those that are key frames, ascending; None if it cannot be split."""
    video = file.video
    times: list[int] = []
    keys: list[int] = []
    parameters: set[bytes] = set()
    for packet in frame_packets(video):
        if packet.pts is None or packet.is_corrupt:
            return None
        if packet.parameters:
            parameters.add(packet.parameters)
        if packet.pts >= video.first_pts:
            times.append(packet.pts)
            if packet.is_key:
                keys.append(packet.pts)
    pts = np.sort(np.array(times, np.int64))
    if len(parameters) > 1 or len(pts) != video.frame_count or np.any(np.diff(pts) == 0):
        return None
    return pts, sorted(keys)


def _seams(begin: int, keys: list[int], end: int, least: int) -> Iterator[int]:
    """Times between `begin` and `end` at which to split: those of key frames that are `least` apart, if there are any.

    All in units of pts; keys are ascending. Times between key frames need not be those of frames.
    """
    number = 0
    while end - begin >= 2 * least:
        number = bisect_right(keys, begin, number)
        following = keys[number : bisect_right(keys, begin + 2 * least, number)]
        if following:
            begin = next((key for key in following if key >= begin + least), following[-1])
        else:
            far = keys[number] if number < len(keys) else end
            parts = -(-(far - begin) // (2 * least))
            yield from (begin + (far - begin) * part // parts for part in range(1, parts))
            if far == end:
                return
            begin = far
        yield begin
