"""Timeline: a video's frames gathered into as many bins as a plot can show.

Belongs here: the bins, and how values per frame become values per bin. What is drawn with them is up to the plots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.tables.face_tracks import FaceTracks

_BINS: Final = 800


@dataclass(frozen=True)
class Timeline:
    """Frames, gathered into no more bins than a plot has columns, so that its size does not grow with the video.

    Attributes:
        times: of the frames, in seconds.
        starts: first frame of each bin. No bin reaches across a cut.
        at: time of each bin, in seconds; where a shot begins, a bin that holds nothing comes before it.
        slots: of `at`, those that hold a bin.
    """

    times: NDArray[np.float64]
    starts: NDArray[np.intp]
    at: NDArray[np.float64]
    slots: NDArray[np.intp]

    @classmethod
    def of(cls, tracks: FaceTracks) -> Timeline:
        """The timeline of a video: as many bins of equal length as there is room for, and one more at every cut."""
        times, cuts = tracks.times, tracks.cuts
        even = np.arange(0, len(times), -(-len(times) // _BINS))
        starts = np.union1d(even, cuts)
        breaks = np.searchsorted(starts, cuts)
        at = np.insert(times[starts], breaks, times[cuts])
        return cls(times, starts, at, np.delete(np.arange(len(at)), breaks + np.arange(len(breaks))))

    def least(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest value of each bin, NaN where there is none."""
        return self._placed(np.fmin.reduceat(values, self.starts))

    def greatest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The greatest value of each bin, NaN where there is none."""
        return self._placed(np.fmax.reduceat(values, self.starts))

    def middle(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half-way between the smallest and the greatest value of each bin."""
        return (self.least(values) + self.greatest(values)) / 2

    def _placed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.full(len(self.at), np.nan)
        result[self.slots] = values
        return result
