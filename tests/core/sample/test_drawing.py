from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from dualface_core.faces.detector import FaceDetector
from dualface_core.media.frames import Frame, Planes
from dualface_core.sample.color import COLOR
from dualface_core.sample.drawing import Painter, Region
from dualface_core.sample.moments import Actor, Fade, Moment, Pane, Placement, View
from dualface_core.sample.people import Head, Person, Sprite
from dualface_core.sample.scenes import Scene, cast, choreograph
from dualface_core.sample.studio import Studio

SIZE = (320, 180)
EMPTY = {view: Moment(0, view, ()) for view in View}


class Painted:
    """A person in one shade of gray: what they change in a picture is their opacity."""

    def __init__(self, person: Person, luma: int) -> None:
        self.head: Head = person.head
        self._person = person
        self._luma = luma

    def at(self, time: float, turned: float = 0.0) -> Sprite:
        sprite = self._person.at(time, turned)
        planes = tuple(np.full_like(plane, self._luma) for plane in sprite.planes)
        return Sprite((planes[0], planes[1], planes[2]), sprite.alpha)


def draw(people: Mapping[str, Person | Painted], moment: Moment, time: float = 0) -> tuple[Planes, dict[str, Region]]:
    return Painter(Studio(*SIZE), people).draw(moment, time)


def without(moment: Moment, person: str) -> Moment:
    return replace(moment, placements=tuple(place for place in moment.placements if place.person != person))


def crossing() -> list[tuple[Moment, float]]:
    choreography = choreograph(Scene.CROSS, seconds=6, seed=0)
    return [(choreography.at(time), time) for time in (0.2, 2.2, 2.6, 2.8, 3.0, 3.2, 3.4, 5.0)]


@pytest.mark.parametrize("person", cast(Scene.CROSS))
def test_removing_a_person_changes_nothing_outside_their_region(people: dict[str, Person], person: str) -> None:
    for moment, time in crossing():
        picture, regions = draw(people, moment, time)
        bare, _ = draw(people, without(moment, person), time)
        region = regions[person]
        changed = False
        for plane, bare_plane, shift in zip(picture, bare, (0, 1, 1), strict=True):
            rows, columns = np.nonzero(plane != bare_plane)
            changed |= rows.size > 0
            if rows.size:
                assert columns.min() >= region.x >> shift
                assert columns.max() < (region.x + region.width + shift) >> shift
                assert rows.min() >= region.y >> shift
                assert rows.max() < (region.y + region.height + shift) >> shift
        assert changed


def test_the_visible_share_is_what_the_pixels_show(people: dict[str, Person]) -> None:
    shares = []
    for moment, time in crossing():
        for placement in moment.placements:
            person = placement.person
            white, black = (draw(people | {person: Painted(people[person], luma)}, moment, time) for luma in (216, 16))
            shown = np.subtract(white[0][0], black[0][0], dtype=np.float64).sum() / 200
            # All of them: the same again in the middle of a picture without a table or anybody else.
            alone = Moment(0, View.CLOSE_LEFT, (replace(placement, x=0.5, y=0.0),))
            white, black = (draw({person: Painted(people[person], luma)}, alone, time) for luma in (216, 16))
            assert white[1][person].visible == 1
            everything = np.subtract(white[0][0], black[0][0], dtype=np.float64).sum() / 200
            assert draw(people, moment, time)[1][person].visible == pytest.approx(shown / everything, abs=0.02)
            shares.append(shown / everything)
    assert min(shares) < 0.5  # somebody was covered
    assert max(shares) > 0.8


@pytest.mark.parametrize("x", [-0.2, 0.0, 0.5, 1.0, 1.2])
def test_who_is_beyond_the_edge_is_half_visible_and_then_not_at_all(people: dict[str, Person], x: float) -> None:
    placement = Placement(Actor.MAN, x=x, y=0, head=0.3, angle=0)
    picture, regions = draw(people, Moment(0, View.CLOSE_RIGHT, (placement,)))
    bare, _ = draw(people, EMPTY[View.CLOSE_RIGHT])
    visible = {-0.2: 0, 0.0: 0.5, 0.5: 1, 1.0: 0.5, 1.2: 0}[x]
    assert regions[Actor.MAN].visible == pytest.approx(visible, abs=0.1 if visible == 0.5 else 0)
    assert np.array_equal(picture[0], bare[0]) == (visible == 0)


def test_people_are_where_they_were_placed(people: dict[str, Person]) -> None:
    width, height = SIZE
    for person in people:
        _, regions = draw(people, Moment(0, View.CLOSE_LEFT, (Placement(person, x=0.4, y=-0.1, head=0.3, angle=0),)))
        region = regions[person]
        assert region.x + region.width / 2 == pytest.approx(0.4 * width, abs=0.03 * width)
        assert region.y == pytest.approx((0.5 - 0.1 - 0.15) * height, abs=0.03 * height)


@pytest.mark.parametrize(("width", "height"), [(960, 540), (406, 720)])
def test_the_empty_room_holds_no_face(width: int, height: int) -> None:
    detector = FaceDetector()
    studio = Studio(width, height)
    for view in View:
        for time in (0.0, 11.0):
            picture = Frame(0, 0, time, studio.film(view, time), COLOR).bgr(640)
            assert len(detector.detect(picture[None], score_threshold=0.5)[0]) == 0


@pytest.mark.parametrize("person", Actor)
def test_from_behind_nobody_has_a_face_but_all_of_the_outline(people: dict[str, Person], person: str) -> None:
    detector = FaceDetector()
    place = Placement(person, x=0.5, y=-0.1, head=0.5, angle=0)
    front, back = (Moment(0, View.CLOSE_LEFT, (replace(place, turned=turned),)) for turned in (0.0, 1.0))
    painter = Painter(Studio(640, 360), people)
    faces = [
        len(detector.detect(Frame(0, 0, 0, painter.draw(moment, 0)[0], COLOR).bgr()[None], score_threshold=0.5)[0])
        for moment in (front, back)
    ]
    assert faces == [1, 0]
    assert replace(painter.draw(back, 0)[1][person], turned=0.0) == painter.draw(front, 0)[1][person]


def test_what_is_in_a_pane_is_drawn_there_and_nowhere_else(people: dict[str, Person]) -> None:
    inside = Moment(0, View.CLOSE_LEFT, (Placement(Actor.MAN, x=0.5, y=0, head=0.5, angle=0),))
    pane = Pane(0.25, 0.1, 0.5, 0.6, inside)
    picture, regions = draw(people, Moment(0, View.CARD, panes=(pane,)))
    left, top, width, height = pane.pixels(*SIZE)
    alone, alone_regions = Painter(Studio(width, height), people).draw(inside, 0)
    assert np.array_equal(picture[0][top : top + height, left : left + width], alone[0])
    assert np.count_nonzero(picture[0] != 16) <= width * height
    moved = {"x": left, "y": top, "head_x": left, "head_y": top}
    expected = alone_regions[Actor.MAN]
    assert regions[Actor.MAN] == replace(expected, **{k: getattr(expected, k) + by for k, by in moved.items()})


@pytest.mark.parametrize("wipe", [False, True])
def test_a_fade_is_made_of_both_shots_and_shows_people_to_its_extent(people: dict[str, Person], wipe: bool) -> None:
    place = Placement(Actor.MAN, x=0.5, y=0, head=0.3, angle=0)
    before, after = Moment(0, View.CLOSE_LEFT, (place,)), Moment(1, View.WIDE, (place,))
    shots = [draw(people, moment)[0][0].astype(int) for moment in (before, after)]
    (luma, *_), regions = draw(people, replace(after, fade=Fade(before, 0.75, wipe=wipe)))
    if wipe:
        assert np.array_equal(luma[:, :240], shots[1][:, :240])
        assert np.array_equal(luma[:, 240:], shots[0][:, 240:])
    else:
        assert np.abs(luma - (0.25 * shots[0] + 0.75 * shots[1])).max() <= 1
    assert regions[Actor.MAN].visible == 0.75 * draw(people, after)[1][Actor.MAN].visible


@pytest.mark.parametrize("scene", Scene)
def test_a_detector_finds_those_who_are_to_be_seen(people: dict[str, Person], scene: Scene) -> None:
    detector = FaceDetector()
    painter = Painter(Studio(640, 360), people)
    choreography = choreograph(scene, seconds=8, seed=1)
    for time in (0.2, 4.0, 7.8):
        picture, regions = painter.draw(choreography.at(time), time)
        faces = detector.detect(Frame(0, 0, time, picture, COLOR).bgr()[None], score_threshold=0.5)[0]
        seen = [region for region in regions.values() if region.head_visible > 0.7 and not region.turned]
        centers = faces.boxes[:, :2] + faces.boxes[:, 2:] / 2
        assert len(faces) == len(seen)
        for region in seen:
            x, y = (centers - (region.x, region.y)).T
            assert ((x >= 0) & (x <= region.width) & (y >= 0) & (y <= region.height)).any()
