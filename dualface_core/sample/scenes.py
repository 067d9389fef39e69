"""Who is where at what time: the choreography of the samples, as a pure function of scene, length, seed and time.

Belongs here: which scenes there are, and those that happen in one shot. How people look is `people`'s business, and
how they get into the picture is `drawing`'s.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from dualface_core.sample.edited import Edited, Joint, Setup, call_grid, close, letterboxed, wide
from dualface_core.sample.moments import (
    CLOSE_Y,
    LEFT,
    OUTSIDE,
    RIGHT,
    WIDE_HEAD,
    WIDE_Y,
    Actor,
    Choreography,
    Moment,
    Placement,
    View,
)
from dualface_core.sample.movement import Sway, Swaying, ease, side_by_side, there_and_back


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
    SINGLES = "singles"
    """An edited interview: close-ups of one and of the other in turn, now and then both."""
    APART = "apart"
    """Close-ups in turn; the two are never together in the picture."""
    LOOK_ALIKE = "look-alike"
    """Two people, and a third who looks like one of them."""
    GRID = "grid"
    """A video call or a news split: boxes with gaps between them, and a title bar across two of them."""
    LETTERBOX = "letterbox"
    """An edited interview with black bars around it."""
    CLOSE = "close"
    """They come so close that no crop holds only one of them, and a shot in which they always are."""
    BEHIND = "behind"
    """Each in turn is seen from behind for a while."""
    THIRD = "third"
    """A third person, as large as they are, comes and goes."""
    WIPE = "wipe"
    """Shots that give way by a wipe, by a dissolve, and by a cut with a blended frame."""
    TITLE = "title"
    """A title card and an insert without people among the shots, and a title bar that pops up within one."""


def protagonists(scene: Scene) -> tuple[Actor, Actor]:
    """The two people that a scene is about; all others in it are strangers."""
    return (Actor.MAN, Actor.SISTER) if scene is Scene.LOOK_ALIKE else (Actor.WOMAN, Actor.MAN)


def cast(scene: Scene) -> tuple[Actor, ...]:
    """Everybody who may appear in a scene, the protagonists first."""
    strangers = {
        Scene.LOOK_ALIKE: (Actor.LOOK_ALIKE,),
        Scene.GRID: (Actor.SISTER, Actor.VISITOR),
        Scene.THIRD: (Actor.VISITOR,),
    }
    return (*protagonists(scene), *strangers.get(scene, ()))


def choreograph(scene: Scene, *, seconds: float, seed: int) -> Choreography:
    """The choreography of a scene. What makes the scene happens however short it is."""
    rng, other_rng = (random.Random(f"{scene}/{seed}{more}") for more in ("", "/others"))  # noqa: S311 - no secrets
    left, right = rng.sample(protagonists(scene), 2)
    swaying = {person: Sway.random(rng) for person in protagonists(scene)}
    swaying |= {person: Sway.random(other_rng) for person in cast(scene)[2:]}
    match scene:
        case Scene.TALK:
            return _Talk(swaying, left, right)
        case Scene.CROSS:
            return _Cross(swaying, left, right, seconds, crossings=max(1, round(seconds / 12)))
        case Scene.LEAVE:
            return _Leave(swaying, left, right, seconds, departures=max(1, round(seconds / 20)))
        case Scene.CLOSE:
            return _Close(swaying, left, right, seconds, embraces=max(1, round(seconds / 16)))
        case Scene.BEHIND:
            return _Behind(swaying, left, right, seconds, turns=max(1, round(seconds / 10)))
        case Scene.THIRD:
            return _Third(swaying, left, right, seconds, visits=max(1, round(seconds / 15)))
        case Scene.GRID:
            return call_grid(swaying, (left, right), cast(scene)[2:] if rng.random() < 0.5 else ())
        case Scene.LETTERBOX:
            tall = rng.random() < 0.5
            return letterboxed(_edited(Scene.SINGLES, rng, swaying, left, right, seconds), tall=tall)
        case _:
            return _edited(scene, rng, swaying, left, right, seconds)


def _edited(scene: Scene, rng: random.Random, swaying: Swaying, left: Actor, right: Actor, seconds: float) -> Edited:
    """A scene that consists of shots."""
    both, on_left, on_right = wide(left, right), close(left, View.CLOSE_LEFT), close(right, View.CLOSE_RIGHT)
    joints, least = [Joint.CUT], 4
    match scene:
        case Scene.CUTS:
            swapped = (wide(right, left), close(right, View.CLOSE_LEFT), close(left, View.CLOSE_RIGHT))
            setups = [both, *swapped, swapped[0], both, on_left, on_right]
        case Scene.APART:
            setups = [on_left, on_right]
        case Scene.LOOK_ALIKE:
            other = Actor.LOOK_ALIKE
            all_three, least = wide(left, right, other), 6
            setups = [both, on_left, on_right, all_three, close(other, View.CLOSE_LEFT), on_right, on_left]
        case Scene.WIPE:
            setups = [both, on_left, on_right]
            joints = [Joint.WIPE, Joint.DISSOLVE, Joint.BLENDED, Joint.CUT]
        case Scene.TITLE:
            barred, least = wide(left, right, banner=True), 6
            setups = [Setup(View.CARD), both, Setup(View.INSERT), on_left, barred, on_right]
        case _:
            setups = [both, on_left, on_right, on_left, both, on_right]
    return Edited.random(rng, swaying, setups, seconds, least=least, joints=joints)


@dataclass(frozen=True)
class _Talk:
    swaying: Swaying
    left: Actor
    right: Actor

    def at(self, time: float) -> Moment:
        return Moment(0, View.WIDE, side_by_side(self.swaying, self.left, self.right, time))


@dataclass(frozen=True)
class _Cross:
    swaying: Swaying
    left: Actor
    right: Actor
    seconds: float
    crossings: int

    def at(self, time: float) -> Moment:
        period = self.seconds / self.crossings
        number = min(int(time / period), self.crossings - 1)
        duration = min(3.0, 0.6 * period)
        done = ease((time - number * period - period / 2) / duration + 0.5)
        swapped = number % 2 == 1
        # Whoever comes from the left is in front, so each of them is in turn.
        front, back = (self.right, self.left) if swapped else (self.left, self.right)
        passing = math.sin(math.pi * done)
        behind = self._place(back, time, 1 - done, nearer=-0.06 * passing)
        before = self._place(front, time, done, nearer=0.12 * passing)
        return Moment(0, View.WIDE, (behind, before))

    def _place(self, person: Actor, time: float, way: float, *, nearer: float) -> Placement:
        x = LEFT + (RIGHT - LEFT) * way
        return self.swaying[person].place(person, time, x=x, y=WIDE_Y, head=WIDE_HEAD * (1 + nearer))


@dataclass(frozen=True)
class _Leave:
    swaying: Swaying
    left: Actor
    right: Actor
    seconds: float
    departures: int

    def at(self, time: float) -> Moment:
        period = self.seconds / self.departures
        number = min(int(time / period), self.departures - 1)
        left, right = (self.left, self.right) if number % 2 == 0 else (self.right, self.left)
        # The one on the left leaves, then the one on the right, and so on. Each departure swaps the sides.
        leaver, home, door = (left, LEFT, -OUTSIDE) if number % 2 == 0 else (right, RIGHT, 1 + OUTSIDE)
        stayer = right if leaver == left else left
        walk = min(1.5, 0.18 * period)
        away = min(4.0, 0.35 * period)
        begin = (period - away) / 2 - walk
        since = time - number * period - begin
        moved = ease((since - walk) / away)
        placements = [self._place(stayer, time, 1 - home + (home - (1 - home)) * moved)]
        if since < walk:
            placements.append(self._place(leaver, time, home + (door - home) * ease(since / walk)))
        elif since > walk + away:
            placements.append(self._place(leaver, time, 1 - door + (door - home) * ease((since - walk - away) / walk)))
        return Moment(0, View.WIDE, tuple(placements))

    def _place(self, person: Actor, time: float, x: float) -> Placement:
        return self.swaying[person].place(person, time, x=x, y=WIDE_Y, head=WIDE_HEAD)


@dataclass(frozen=True)
class _Close:
    """Two thirds of each period in a wide shot, in which they come together, embrace and part; then close to them."""

    swaying: Swaying
    left: Actor
    right: Actor
    seconds: float
    embraces: int

    def at(self, time: float) -> Moment:
        period = self.seconds / self.embraces
        number = min(int(time / period), self.embraces - 1)
        since, wide_shot = time - number * period, 0.67 * period
        # Each in turn is in front.
        front, back = (self.left, self.right) if number % 2 == 0 else (self.right, self.left)
        if since >= wide_shot:
            places = {self.left: 0.5 - _EMBRACING, self.right: 0.5 + _EMBRACING}
            zoom = _TIGHT_HEAD / WIDE_HEAD
            x = {person: 0.5 + (x - 0.5) * zoom for person, x in places.items()}
            return Moment(2 * number + 1, View.CLOSE_LEFT, self._both(back, front, x, time, CLOSE_Y, _TIGHT_HEAD))
        near = there_and_back(since, 0.15 * wide_shot, wide_shot, min(2.0, 0.25 * wide_shot))
        places = {
            self.left: LEFT + (0.5 - _EMBRACING - LEFT) * near,
            self.right: RIGHT + (0.5 + _EMBRACING - RIGHT) * near,
        }
        return Moment(2 * number, View.WIDE, self._both(back, front, places, time, WIDE_Y, WIDE_HEAD))

    def _both(
        self, back: Actor, front: Actor, x: dict[Actor, float], time: float, y: float, head: float
    ) -> tuple[Placement, ...]:
        return tuple(self.swaying[person].place(person, time, x=x[person], y=y, head=head) for person in (back, front))


_EMBRACING: Final = 0.05
"""Half the distance of two heads that touch in a wide shot, as a share of the width."""
_TIGHT_HEAD: Final = 0.46


@dataclass(frozen=True)
class _Behind:
    swaying: Swaying
    left: Actor
    right: Actor
    seconds: float
    turns: int

    def at(self, time: float) -> Moment:
        period = self.seconds / self.turns
        number = min(int(time / period), self.turns - 1)
        away = min(4.0, 0.5 * period)
        begin = (number + 0.5) * period - away / 2
        turned = there_and_back(time, begin, begin + away, min(0.6, 0.2 * period))
        turner = self.left if number % 2 == 0 else self.right
        placements = side_by_side(self.swaying, self.left, self.right, time)
        return Moment(
            0,
            View.WIDE,
            tuple(replace(place, turned=turned) if place.person == turner else place for place in placements),
        )


@dataclass(frozen=True)
class _Third:
    """The visitor comes in on one side, stands behind the two for a while, and leaves on the other side."""

    swaying: Swaying
    left: Actor
    right: Actor
    seconds: float
    visits: int

    def at(self, time: float) -> Moment:
        period = self.seconds / self.visits
        number = min(int(time / period), self.visits - 1)
        walk = min(2.5, 0.25 * period)
        since = time - (number + 0.15) * period
        way = ease(since / walk) + ease((since - 0.7 * period + walk) / walk)
        x = -OUTSIDE + (1 + 2 * OUTSIDE) * way / 2
        if number % 2 == 1:
            x = 1 - x
        both = side_by_side(self.swaying, self.left, self.right, time)
        if not 0 < way < 2:
            return Moment(0, View.WIDE, both)
        visitor = self.swaying[Actor.VISITOR].place(Actor.VISITOR, time, x=x, y=WIDE_Y, head=WIDE_HEAD)
        return Moment(0, View.WIDE, (visitor, *both))
