"""How people move: small movements of somebody who sits and talks, and ways from one place to another."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dualface_core.sample.moments import LEFT, RIGHT, WIDE_HEAD, WIDE_Y, Actor, Placement

_WAVES: Final = (0.07, 0.19, 0.43)
_WEIGHTS: Final = (0.6, 0.3, 0.1)
"""Lowest frequency of each wave in Hz, and how far it moves somebody."""


@dataclass(frozen=True)
class Sway:
    """The small movements of somebody who sits and talks: a sum of slow sines."""

    waves: tuple[tuple[float, float, float], ...]
    """Frequency in Hz, and phases of the sideways and the up-and-down movement."""

    @classmethod
    def random(cls, rng: random.Random) -> Sway:
        """Somebody's, by chance."""
        turn = 2 * math.pi
        return cls(tuple((rng.uniform(low, 1.6 * low), rng.uniform(0, turn), rng.uniform(0, turn)) for low in _WAVES))

    def place(self, person: Actor, time: float, *, x: float, y: float, head: float, turned: float = 0.0) -> Placement:
        """The person near a point, as they move about it."""
        sideways, nodding = (
            sum(
                w * math.sin(2 * math.pi * wave[0] * time + wave[axis])
                for w, wave in zip(_WEIGHTS, self.waves, strict=True)
            )
            for axis in (1, 2)
        )
        return Placement(
            person,
            x=x + 0.09 * head * sideways,
            y=y + 0.035 * head * nodding,
            head=head * (1 + 0.025 * math.sin(2 * math.pi * self.waves[0][0] * 0.7 * time)),
            angle=2.5 * sideways,
            turned=turned,
        )


Swaying = Mapping[Actor, Sway]
"""The movements of everybody."""


def side_by_side(swaying: Swaying, left: Actor, right: Actor, time: float) -> tuple[Placement, ...]:
    """Two people at the table in a wide shot."""
    return tuple(
        swaying[person].place(person, time, x=x, y=WIDE_Y, head=WIDE_HEAD)
        for person, x in ((left, LEFT), (right, RIGHT))
    )


def ease(share: float) -> float:
    """From 0 to 1, setting off and arriving at rest."""
    share = min(max(share, 0.0), 1.0)
    return share * share * share * (share * (6 * share - 15) + 10)


def there_and_back(time: float, begin: float, end: float, way: float) -> float:
    """From 0 to 1 in `way` seconds from `begin` on, and back so as to arrive at `end`."""
    return ease((time - begin) / way) * ease((end - time) / way)
