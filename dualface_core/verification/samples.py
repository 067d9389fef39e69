"""Which frames are looked at more closely, and what is to be seen in them: the plan says that before there is a result.

Belongs here: what the tasks of `observation` ask for. What is found of it is decided in `verify`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final

from dualface_core.faces.embedding import embed
from dualface_core.media.probe import VideoInfo
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.expected import Sample, sampled_frames
from dualface_core.verification.identity import IdentityCheck
from dualface_core.verification.observation import SourceTask, Wanted

if TYPE_CHECKING:  # which loads what no task needs
    from dualface_core.settings import Settings

_SOURCE_FRAMES: Final = 24
"""Frames that are compared with the source itself, however long it is; and as many more, where scenes have none."""

_AT_ONCE: Final = 2
"""Frames of the source that are looked at in one task of several."""


class Samples:
    """The frames of a plan that are looked at more closely.

    Args:
        video: the source.
        tracks: who is where in it.
        plan: what each tile shows.
        settings: where the model files are.

    Attributes:
        video: the source.
        planned: when each frame is shown, in seconds.
    """

    def __init__(self, video: VideoInfo, tracks: FaceTracks, plan: TilePlan, settings: Settings) -> None:
        self.video = video
        self.planned = [pts * plan.metadata.seconds_per_pts for pts in plan.pts.tolist()]
        self._plan = plan
        self._detector, self._embedder = settings.detector_weights, settings.embedder_weights
        self._compared = sampled_frames(video, plan, _SOURCE_FRAMES)
        self._people = IdentityCheck(tracks, plan, partial(embed, None, weights=settings.embedder_weights))

    def of_source(self, *, split: bool) -> list[SourceTask]:
        """Tasks for those that are compared with the source: several, or one."""
        size = _AT_ONCE if split else max(1, len(self._compared))
        parts = range(0, len(self._compared), size)
        return [self.task(self._compared[first : first + size]) for first in parts]

    def task(self, numbers: Sequence[int]) -> SourceTask:
        """A task of these frames of the plan."""
        return SourceTask(
            self.video,
            self._plan.layout,
            tuple(Sample.of(self._plan, numbers)),
            {number: self._people.wanted(number) for number in numbers},
            self._detector,
        )

    def wanted(self, begin: Fraction | None, stop: Fraction | None) -> Wanted:
        """What is to be seen in frames of the result from one time to another, in seconds; None for either end."""
        first, end = 0, len(self.planned)
        # The planned times on either side are the nearest ones, where none is within.
        if begin is not None:
            first = max(0, bisect_left(self.planned, begin) - 1)
        if stop is not None:
            end = min(end, bisect_left(self.planned, stop) + 1)
        numbers = range(first, end)
        compared = frozenset(number for number in self._compared if number in numbers)
        faces = [number for number in self._people.frames if number in numbers]
        return Wanted(
            self._plan.layout,
            first,
            self.planned[first:end],
            {number: self._plan.frame(number) for number in compared.union(faces)},
            compared,
            {number: self._people.wanted(number) for number in faces},
            self._detector,
            self._embedder,
        )
