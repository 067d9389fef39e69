"""Scenes that an editor or a mixing desk made: shots in a row, and pictures that are composed of boxes.

Belongs here: shots that stand still but for small movements, how one gives way to the next, and panes. Who walks about
in one shot is `scenes`' business.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import cycle, islice
from typing import Final

from dualface_core.sample.moments import (
    CLOSE_HEAD,
    CLOSE_X,
    CLOSE_Y,
    LEFT,
    RIGHT,
    WIDE_HEAD,
    WIDE_Y,
    Actor,
    Choreography,
    Fade,
    Moment,
    Pane,
    View,
)
from dualface_core.sample.movement import Swaying

_SHOT_SECONDS: Final = 4
_BANNER_UP: Final = (0.3, 0.8)
"""Between which shares of its shot a title bar is up, and the seconds in which it comes."""
_BANNER_SECONDS: Final = 0.15


class Joint(Enum):
    """How one shot gives way to the next; the value is the seconds that it takes."""

    CUT = 0.0
    BLENDED = 0.04
    """A cut with one frame, or at high rates two, in which both shots are blended."""
    DISSOLVE = 0.7
    WIPE = 0.6


@dataclass(frozen=True)
class Spot:
    """Where somebody sits, in the units of `moments`."""

    person: Actor
    x: float
    y: float
    head: float


@dataclass(frozen=True)
class Setup:
    """What a shot shows: the view, the people from back to front, and whether a title bar pops up in it."""

    view: View
    spots: tuple[Spot, ...] = ()
    banner: bool = False


def wide(left: Actor, right: Actor, between: Actor | None = None, *, banner: bool = False) -> Setup:
    """Both at the table, with somebody between them if asked for."""
    people = ((left, LEFT), (right, RIGHT)) if between is None else ((between, 0.5), (left, LEFT), (right, RIGHT))
    return Setup(View.WIDE, tuple(Spot(person, x, WIDE_Y, WIDE_HEAD) for person, x in people), banner)


def close(person: Actor, view: View) -> Setup:
    """One of them, large."""
    return Setup(view, (Spot(person, CLOSE_X[view], CLOSE_Y, CLOSE_HEAD),))


@dataclass(frozen=True)
class Edited:
    """Shots in a row.

    Attributes:
        swaying: everybody's small movements.
        setups: what each shot shows.
        edges: seconds at which each shot begins, and the end of the last.
        joints: how each shot but the last gives way to the next.
    """

    swaying: Swaying
    setups: tuple[Setup, ...]
    edges: tuple[float, ...]
    joints: tuple[Joint, ...]

    @classmethod
    def random(
        cls,
        rng: random.Random,
        swaying: Swaying,
        setups: Sequence[Setup],
        seconds: float,
        *,
        least: int = 1,
        joints: Sequence[Joint] = (Joint.CUT,),
    ) -> Edited:
        """The setups and joints again and again, one shot about every four seconds, and so many at least."""
        count = max(least, round(seconds / _SHOT_SECONDS))
        cuts = [(number + 1 + rng.uniform(-0.25, 0.25)) * seconds / count for number in range(count - 1)]
        edges = (0.0, *cuts, seconds)
        return cls(swaying, tuple(islice(cycle(setups), count)), edges, tuple(islice(cycle(joints), count - 1)))

    def at(self, time: float) -> Moment:
        """See `Choreography`."""
        shot = min(bisect_right(self.edges, time), len(self.setups)) - 1
        for after in (shot, shot + 1):
            if 0 < after < len(self.setups):
                share = 0.5 + (time - self.edges[after]) / max(self._fade_seconds(after), 1e-9)
                if 0 < share < 1:
                    fade = Fade(self._shot(after - 1, time), share, wipe=self.joints[after - 1] is Joint.WIPE)
                    return replace(self._shot(after, time), shot=shot, fade=fade)
        return self._shot(shot, time)

    def _fade_seconds(self, after: int) -> float:
        shortest = min(self.edges[i + 1] - self.edges[i] for i in (after - 1, after))
        return min(self.joints[after - 1].value, 0.5 * shortest)

    def _shot(self, number: int, time: float) -> Moment:
        setup = self.setups[number]
        people = tuple(
            self.swaying[spot.person].place(spot.person, time, x=spot.x, y=spot.y, head=spot.head)
            for spot in setup.spots
        )
        return Moment(number, setup.view, people, banner=self._banner(number, time) if setup.banner else 0.0)

    def _banner(self, number: int, time: float) -> float:
        begin, end = self.edges[number : number + 2]
        comes, goes = (begin + share * (end - begin) for share in _BANNER_UP)
        return min(max(min(time - comes, goes - time) / _BANNER_SECONDS, 0.0), 1.0)


@dataclass(frozen=True)
class Boxed:
    """A picture composed of panes, each with a choreography of its own; with a title bar across them if asked for."""

    panes: tuple[Pane, ...]
    inside: tuple[Choreography, ...]
    banner: float = 0.0

    def at(self, time: float) -> Moment:
        """See `Choreography`."""
        panes = tuple(
            replace(pane, moment=choreography.at(time))
            for pane, choreography in zip(self.panes, self.inside, strict=True)
        )
        shot = max(pane.moment.shot for pane in panes)
        return Moment(shot, View.CARD, banner=self.banner, panes=panes)


_NOTHING: Final = Moment(0, View.CARD)


def letterboxed(choreography: Choreography, *, tall: bool) -> Boxed:
    """Within bars above and below, as 2.39:1 in 16:9; `tall`: at the sides, as 4:3 in 16:9."""
    pane = Pane(0.125, 0, 0.75, 1, _NOTHING) if tall else Pane(0, 0.128, 1, 0.744, _NOTHING)
    return Boxed((pane,), (choreography,))


def call_grid(swaying: Swaying, large: Sequence[Actor], small: Sequence[Actor]) -> Boxed:
    """Two large boxes side by side, and small ones below them or else a title bar across their lower edges."""
    height = 0.6 if small else 0.74
    panes = [Pane(x, 0.06, 0.46, height, _NOTHING) for x in (0.025, 0.515)]
    panes += [Pane(x, 0.71, 0.18, 0.25, _NOTHING) for x, _ in zip((0.305, 0.515), small, strict=False)]
    views = cycle((View.CLOSE_LEFT, View.CLOSE_RIGHT))
    inside = [
        Edited(swaying, (Setup(view, (Spot(person, 0.5, CLOSE_Y, CLOSE_HEAD),)),), (0.0, 1.0), ())
        for person, view in zip((*large, *small), views, strict=False)
    ]
    return Boxed(tuple(panes), tuple(inside), banner=0.0 if small else 1.0)
