"""Who is where at what time: the choreography of the samples, as a pure function of scene, length, seed and time.

Belongs here: positions and cuts, in units that don't depend on the size of the picture. How people look is `people`'s
business, and how they get into the picture is `drawing`'s.

Units: `x` is a share of the picture's width. `y` and sizes are shares of the picture's *unit*, which is its height or,
where it is narrower than 16:9, the height that 16:9 would have; `y` counts downwards from the middle of the picture.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class Actor(StrEnum):
    """Who plays in a sample."""

    WOMAN = "woman"
    MAN = "man"


class Scene(StrEnum):
    """What happens in a sample."""

    TALK = "talk"
    """Each moves gently in their half."""
    CROSS = "cross"
    """They pass in front of one another and stay swapped, several times, now one in front and now the other."""
    LEAVE = "leave"
    """One leaves for four seconds and comes back on the other side."""
    CUTS = "cuts"
    """Wide shots, close-ups of one and of the other, and sides swapped across a cut."""


class View(StrEnum):
    """What the camera is pointed at."""

    WIDE = "wide"
    CLOSE_LEFT = "close-left"
    CLOSE_RIGHT = "close-right"


@dataclass(frozen=True)
class Placement:
    """A person in the picture.

    Attributes:
        person: who it is.
        x, y: center of the head; see the module for units.
        head: height of the head, as a share of the unit.
        angle: degrees counter-clockwise.
    """

    person: Actor
    x: float
    y: float
    head: float
    angle: float


@dataclass(frozen=True)
class Moment:
    """One instant of a scene.

    Attributes:
        shot: number of the shot, from 0.
        view: what the camera shows.
        placements: people from back to front. Whoever is not in the scene at this moment is left out.
    """

    shot: int
    view: View
    placements: tuple[Placement, ...]


class Choreography(Protocol):
    """A scene of a certain length."""

    def at(self, time: float) -> Moment:
        """What is to be seen at `time`, in seconds from 0."""


_LEFT: Final = 0.29
_RIGHT: Final = 0.71
_OUTSIDE: Final = 0.12
"""How far beyond an edge of the picture nothing of a person is to be seen any more."""
_WIDE_HEAD: Final = 0.23
_WIDE_Y: Final = -0.05
_CLOSE_HEAD: Final = 0.5
_CLOSE_Y: Final = -0.09


def choreograph(scene: Scene, *, seconds: float, seed: int) -> Choreography:
    """The choreography of a scene. What makes the scene happens however short it is."""
    rng = random.Random(f"{scene}/{seed}")  # noqa: S311 - a choreography is no secret
    left, right = rng.sample(list(Actor), 2)
    swaying = {person: _Sway.random(rng) for person in Actor}
    match scene:
        case Scene.TALK:
            return _Talk(swaying, left, right)
        case Scene.CROSS:
            return _Cross(swaying, left, right, seconds, crossings=max(1, round(seconds / 12)))
        case Scene.LEAVE:
            return _Leave(swaying, left, right, seconds, departures=max(1, round(seconds / 20)))
        case Scene.CUTS:
            return _Cuts.random(rng, swaying, left, right, seconds)


@dataclass(frozen=True)
class _Sway:
    """The small movements of somebody who sits and talks: a sum of slow sines."""

    waves: tuple[tuple[float, float, float], ...]
    """Frequency in Hz, and phases of the sideways and the up-and-down movement."""

    @classmethod
    def random(cls, rng: random.Random) -> _Sway:
        turn = 2 * math.pi
        return cls(tuple((rng.uniform(low, 1.6 * low), rng.uniform(0, turn), rng.uniform(0, turn)) for low in _WAVES))

    def place(self, person: Actor, time: float, *, x: float, y: float, head: float) -> Placement:
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
        )


_WAVES: Final = (0.07, 0.19, 0.43)
_WEIGHTS: Final = (0.6, 0.3, 0.1)
"""Lowest frequency of each wave in Hz, and how far it moves somebody."""


@dataclass(frozen=True)
class _Talk:
    swaying: dict[Actor, _Sway]
    left: Actor
    right: Actor

    def at(self, time: float) -> Moment:
        return Moment(0, View.WIDE, _side_by_side(self.swaying, self.left, self.right, time))


@dataclass(frozen=True)
class _Cross:
    swaying: dict[Actor, _Sway]
    left: Actor
    right: Actor
    seconds: float
    crossings: int

    def at(self, time: float) -> Moment:
        period = self.seconds / self.crossings
        number = min(int(time / period), self.crossings - 1)
        duration = min(3.0, 0.6 * period)
        done = _ease((time - number * period - period / 2) / duration + 0.5)
        swapped = number % 2 == 1
        # Whoever comes from the left is in front, so each of them is in turn.
        front, back = (self.right, self.left) if swapped else (self.left, self.right)
        passing = math.sin(math.pi * done)
        behind = self._place(back, time, 1 - done, nearer=-0.06 * passing)
        before = self._place(front, time, done, nearer=0.12 * passing)
        return Moment(0, View.WIDE, (behind, before))

    def _place(self, person: Actor, time: float, way: float, *, nearer: float) -> Placement:
        x = _LEFT + (_RIGHT - _LEFT) * way
        return self.swaying[person].place(person, time, x=x, y=_WIDE_Y, head=_WIDE_HEAD * (1 + nearer))


@dataclass(frozen=True)
class _Leave:
    swaying: dict[Actor, _Sway]
    left: Actor
    right: Actor
    seconds: float
    departures: int

    def at(self, time: float) -> Moment:
        period = self.seconds / self.departures
        number = min(int(time / period), self.departures - 1)
        left, right = (self.left, self.right) if number % 2 == 0 else (self.right, self.left)
        # The one on the left leaves, then the one on the right, and so on. Each departure swaps the sides.
        leaver, home, door = (left, _LEFT, -_OUTSIDE) if number % 2 == 0 else (right, _RIGHT, 1 + _OUTSIDE)
        stayer = right if leaver == left else left
        walk = min(1.5, 0.18 * period)
        away = min(4.0, 0.35 * period)
        begin = (period - away) / 2 - walk
        since = time - number * period - begin
        moved = _ease((since - walk) / away)
        placements = [self._place(stayer, time, 1 - home + (home - (1 - home)) * moved)]
        if since < walk:
            placements.append(self._place(leaver, time, home + (door - home) * _ease(since / walk)))
        elif since > walk + away:
            placements.append(self._place(leaver, time, 1 - door + (door - home) * _ease((since - walk - away) / walk)))
        return Moment(0, View.WIDE, tuple(placements))

    def _place(self, person: Actor, time: float, x: float) -> Placement:
        return self.swaying[person].place(person, time, x=x, y=_WIDE_Y, head=_WIDE_HEAD)


@dataclass(frozen=True)
class _Cuts:
    swaying: dict[Actor, _Sway]
    cuts: tuple[float, ...]
    shots: tuple[tuple[View, tuple[Actor, ...]], ...]
    """What is to be seen between the cuts: the view and who is in it, from left to right."""

    @classmethod
    def random(
        cls, rng: random.Random, swaying: dict[Actor, _Sway], left: Actor, right: Actor, seconds: float
    ) -> _Cuts:
        count = max(4, round(seconds / 4))
        shots: list[tuple[View, tuple[Actor, ...]]] = []
        while len(shots) < count:
            shots += [(View.WIDE, (left, right)), (View.WIDE, (right, left))]
            left, right = right, left
            shots += [(View.CLOSE_LEFT, (left,)), (View.CLOSE_RIGHT, (right,))]
        ends = [(number + 1 + rng.uniform(-0.25, 0.25)) * seconds / count for number in range(count - 1)]
        return cls(swaying, tuple(ends), tuple(shots[:count]))

    def at(self, time: float) -> Moment:
        shot = bisect_right(self.cuts, time)
        view, cast = self.shots[shot]
        if len(cast) == 2:
            return Moment(shot, view, _side_by_side(self.swaying, *cast, time))
        x = 0.44 if view is View.CLOSE_LEFT else 0.56
        place = self.swaying[cast[0]].place(cast[0], time, x=x, y=_CLOSE_Y, head=_CLOSE_HEAD)
        return Moment(shot, view, (place,))


def _side_by_side(swaying: dict[Actor, _Sway], left: Actor, right: Actor, time: float) -> tuple[Placement, ...]:
    return tuple(
        swaying[person].place(person, time, x=x, y=_WIDE_Y, head=_WIDE_HEAD)
        for person, x in ((left, _LEFT), (right, _RIGHT))
    )


def _ease(share: float) -> float:
    """From 0 to 1, setting off and arriving at rest."""
    share = min(max(share, 0.0), 1.0)
    return share * share * share * (share * (6 * share - 15) + 10)
