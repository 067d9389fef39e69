"""Where a video may be split, so that its parts can be read side by side and in sum are what one pass gives.

Belongs here: the choice of the seams, by what the packets say; nothing is decoded. That a reader of a span gives
exactly its frames, whatever a container finds when it seeks, is `VideoReader`'s business.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.media import packets
from dualface_core.media.packets import frame_packets
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import is_seekable
from dualface_core.media.spans import Span

__all__ = ["Span", "found_by_time", "key_frames", "spans"]

_KEPT: Final = 8
"""Videos whose packets are remembered: each step splits its video anew, and a source and a result belong to a job."""


def spans(video: VideoInfo, *, seconds: float) -> list[Span]:
    """Split a video at key frames into spans of `seconds` or more; the same for the same file and `seconds`.

    Where key frames are further apart than twice `seconds`, it is split between them, too, into as few spans of at most
    so much as that takes: frames between a key frame and a seam are decoded for both of its sides. A video that cannot
    be split is one span: one that is salvaged, whose fields are coded or become frames of their own, whose container or
    clock does not lead to a frame by its time, or whose size or color tags may change, since decoders remember the tags
    of what came before. Where recordings were joined so that their times overlap, no span begins among frames that do,
    nor before each frame is shown at its own time again. Every packet is looked at, once for a file.

    Raises UnreadableVideoError where the file cannot be read.
    """
    found = _found(video)
    if found is None:
        return [Span(0, video.frame_count, video.first_pts, None)]
    pts, clear, keys = found
    least, end = max(1, round(seconds / video.time_base)), video.last_pts + video.last_duration
    seams = list(_seams(video.first_pts, np.intersect1d(keys, pts[clear]).tolist(), end, least))
    edges = np.unique([0, *np.append(clear, len(pts))[np.searchsorted(pts[clear], seams)], len(pts)]).tolist()
    begins = [int(pts[edge]) for edge in edges[:-1]]
    entries = np.unique([video.first_pts, *keys])
    to_reach = begins - entries[np.searchsorted(entries, begins, side="right") - 1]
    return [
        Span(first, stop, begin, end, reach)
        for (first, stop), begin, end, reach in zip(
            pairwise(edges), begins, [*begins[1:], None], to_reach.tolist(), strict=True
        )
    ]


def found_by_time(video: VideoInfo, numbers: Iterable[int]) -> list[int]:
    """Frames that are found by seeking their times: those of these numbers, or the next ones, ascending, each once.

    The times of others are taken by frames of another recording, where several were joined so that they overlap.
    Raises UnreadableVideoError where the file cannot be read.
    """
    found = _found(video)
    if found is None:
        return sorted(set(numbers))
    clear = found[1]
    places = np.minimum(np.searchsorted(clear, [*numbers]), len(clear) - 1)
    return sorted(set(clear[places].tolist()))


def key_frames(video: VideoInfo) -> list[int]:
    """Presentation timestamps of the frames that can be decoded without others, ascending, from the first one on.

    Raises UnreadableVideoError where the file cannot be read.
    """
    found = _found(video)
    return [pts for pts in packets.key_frames(video) if pts >= video.first_pts] if found is None else found[2]


def _found(video: VideoInfo) -> tuple[NDArray[np.int64], NDArray[np.intp], list[int]] | None:
    """What `_packets` gives; None, too, where no frame is found by its time."""
    file = _File(video.fingerprint, video.first_pts, video.frame_count, video)
    return _packets(file) if is_seekable(video) else None


@dataclass(frozen=True)
class _File:
    """A video, which is the same one as long as its content is, wherever it lies, and what is shown of it."""

    fingerprint: str
    first_pts: int
    frame_count: int
    video: VideoInfo = field(compare=False)


@lru_cache(_KEPT)
def _packets(file: _File) -> tuple[NDArray[np.int64], NDArray[np.intp], list[int]] | None:
    """The pts of a file's frames, the numbers of those at which a span may begin, and the pts of key frames.

    All ascend, but for the first where recordings were joined so that they overlap. None if the file cannot be split.
    """
    video = file.video
    joined: list[list[int]] = [[]]
    keys: list[int] = []
    parameters: set[bytes] = set()
    latest = video.first_pts - 1
    for packet in frame_packets(video):
        if packet.pts is None or packet.is_corrupt:
            return None
        if packet.parameters:
            parameters.add(packet.parameters)
        if packet.pts >= video.first_pts:
            if packet.is_key:
                keys.append(packet.pts)
                if packet.pts <= latest:  # of a frame that is shown before this one, since the decoder begins anew
                    joined.append([])
            joined[-1].append(packet.pts)
            latest = max(latest, packet.pts)
    parts = [np.sort(np.array(times, np.int64)) for times in joined]
    pts = np.concatenate(parts)
    if len(parameters) > 1 or len(pts) != video.frame_count or any(np.any(np.diff(times) == 0) for times in parts):
        return None
    numbers = np.arange(len(pts))
    shown = np.maximum.accumulate(pts - numbers) + numbers  # by `VideoReader`: later than the frame before
    following = np.minimum.accumulate(np.append(pts[1:], latest + 1)[::-1])[::-1]
    clear = np.flatnonzero((pts == shown) & (pts < following))
    return (pts, clear, sorted(keys)) if len(clear) else None


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
