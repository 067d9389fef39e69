"""Timeline: frames gathered into as many bins as a chart can show.

Belongs here: the bins, and how values per frame become values per bin. What is drawn with them is up to `charts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BINS: Final = 800


@dataclass(frozen=True)
class Timeline:
    """Frames, gathered into no more bins than a chart has columns, so that its size does not grow with the video.

    Attributes:
        starts: first frame of each bin. No bin reaches across a cut.
        at: time of each bin, in seconds; where a shot begins, a bin that holds nothing comes before it.
        slots: of `at`, those that hold a bin.
    """

    starts: NDArray[np.intp]
    at: NDArray[np.float64]
    slots: NDArray[np.intp]

    @classmethod
    def of(cls, times: NDArray[np.float64], cuts: Sequence[int] | NDArray[np.intp] = ()) -> Timeline:
        """As many bins of equally many frames as there is room for, and one more at every cut.

        Args:
            times: of the frames, in seconds.
            cuts: first frame of each shot but the first.
        """
        even = np.arange(0, len(times), -(-len(times) // _BINS))
        begins = np.array(cuts, np.intp)
        starts = np.union1d(even, begins)
        breaks = np.searchsorted(starts, begins)
        at = np.insert(times[starts], breaks, times[begins])
        return cls(starts, at, np.delete(np.arange(len(at)), breaks + np.arange(len(breaks))))

    def least(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest value of each bin, NaN where there is none."""
        return self._placed(np.fmin.reduceat(values, self.starts))

    def greatest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The greatest value of each bin, NaN where there is none."""
        return self._placed(np.fmax.reduceat(values, self.starts))

    def middle(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half-way between the smallest and the greatest value of each bin."""
        return (self.least(values) + self.greatest(values)) / 2

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of each bin, NaN where a value is missing."""
        return self._placed(np.add.reduceat(values, self.starts) / np.diff(self.starts, append=len(values)))

    def _placed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.full(len(self.at), np.nan)
        result[self.slots] = values
        return result
