"""Span: some frames of a video in a row, which are read as if there were no others.

Belongs here: what a reader must know of them. Where a video may be split is `engine.spans`' business.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Frames of a video in a row.

    Attributes:
        first: number of its first frame; the numbers are ranks of pts in the whole video.
        stop: number of the frame after its last one.
        first_pts: pts of frame `first`.
        stop_pts: pts of frame `stop`; None if the span goes to the end of the video.
        to_reach: how much is decoded before its first frame, in units of pts: 0 where that is a key frame.
    """

    first: int
    stop: int
    first_pts: int
    stop_pts: int | None
    to_reach: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it has all frames of its video."""
        return self.first == 0 and self.stop_pts is None
