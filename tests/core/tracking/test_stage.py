from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.media.color import ColorInfo
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.writer import VideoWriter
from dualface_core.tables.face_tracks import Box, Shot
from dualface_core.tracking.panes import Edges
from dualface_core.tracking.stage import StageFinder

WIDTH, HEIGHT = 640, 360
IMAGES = 10
"""Images of each shot, three a second."""

Gray = NDArray[np.uint8]
Region = tuple[int, int, int, int]
"""Left, top, right, bottom."""


@cache
def scenery(seed: int, width: int, height: int, low: float = 60, high: float = 200) -> Gray:
    """A still background with large and small shapes, none of them straight."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(
        rng.uniform(low, high, (5, 7)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.resize(
        rng.uniform(-0.1, 0.1, (31, 47)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(coarse + fine * (high - low), 0, 255).astype(np.uint8)


def draw_person(picture: Gray, number: int, x: int, y: int, size: int) -> Box:
    """Somebody whose head sways and whose mouth moves; returns the box of the face. `x`, `y` is its middle."""
    x += round(0.15 * size * np.sin(number))
    cv2.ellipse(picture, (x, y + round(2.2 * size)), (size, round(1.6 * size)), 0, 0, 360, 70, -1)
    cv2.ellipse(picture, (x, y), (size // 2, round(0.65 * size)), 0, 0, 360, 190, -1)
    for side in (-1, 1):
        cv2.circle(picture, (x + side * size // 5, y - size // 8), size // 14, 30, -1)
    cv2.ellipse(picture, (x, y + size // 3), (size // 5, 2 + size // 12 * (number % 3)), 0, 0, 360, 40, -1)
    return x - size / 2, y - 0.65 * size, float(size), 1.3 * size


def into(picture: Gray, region: Region, part: Gray) -> None:
    left, top, right, bottom = region
    picture[top:bottom, left:right] = cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_AREA)


Drawn = tuple[Gray, list[Box]]
Drawing = Callable[[int], Drawn]
"""Image number `n` of a shot, and the faces in it."""


def shots_of(*drawings: Drawing, scale: int = 1) -> list[Shot]:
    """What is found in shots that are drawn at (HEIGHT, WIDTH) in frames that are `scale` times as large."""
    finder = StageFinder((scale * WIDTH, scale * HEIGHT), (WIDTH, HEIGHT))
    for shot, drawing in enumerate(drawings):
        for number in range(IMAGES):
            picture, faces = drawing(number)
            finder.add(shot, (shot * IMAGES + number) / 3, picture, np.array(faces, np.float32).reshape(-1, 4))
    return finder.finish([(IMAGES * shot, IMAGES * shot + IMAGES - 1) for shot in range(len(drawings))])


def room(number: int, low: float = 60, high: float = 200) -> Drawn:
    """Two people in one room."""
    picture = scenery(1, WIDTH, HEIGHT, low, high).copy()
    return picture, [draw_person(picture, number, 180, 130, 70), draw_person(picture, number + 2, 450, 140, 70)]


def barred(drawn: Drawn, region: Region, color: int = 16) -> Drawn:
    """A picture in a region of the frame, and bars around it."""
    picture = np.full((HEIGHT, WIDTH), color, np.uint8)
    into(picture, region, drawn[0])
    return picture, drawn[1]


LETTERBOX = (0, 45, WIDTH, HEIGHT - 45)
PILLARBOX = (219, 0, WIDTH - 219, HEIGHT)


@pytest.mark.parametrize("region", [LETTERBOX, PILLARBOX, (80, 45, WIDTH - 80, HEIGHT - 45), (0, 45, WIDTH, HEIGHT)])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_picture_between_black_bars_is_found_to_a_pixel_inwards(region: Region, scale: int) -> None:
    (shot,) = shots_of(lambda number: barred(room(number), region), scale=scale)
    left, top, right, bottom = (
        scale * (at if at in (0, WIDTH, HEIGHT) else at + margin)
        for at, margin in zip(region, (1, 1, -1, -1), strict=True)
    )
    assert shot.picture == (left, top, right - left, bottom - top)


def test_bars_may_have_another_color_where_there_are_two() -> None:
    (shot,) = shots_of(lambda number: barred(room(number), PILLARBOX, 235))
    assert shot.picture == (220, 0, WIDTH - 440, HEIGHT)


def lettered(backdrop: Callable[[Gray], Gray], region: Region) -> Drawing:
    """A room in a region of the frame, before what is made of it, with words beside it."""

    def draw(number: int) -> Drawn:
        picture, faces = room(number)
        frame = backdrop(picture)
        into(frame, region, picture)
        left, top, right, bottom = region
        place = (20, HEIGHT // 2) if left else (150, top // 2 + 8)
        cv2.putText(frame, "THE TALK", place, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 3, cv2.LINE_AA)
        across, down = (right - left) / WIDTH, (bottom - top) / HEIGHT
        inside = [(left + across * x, top + down * y, across * w, down * h) for x, y, w, h in faces]
        return frame, inside

    return draw


def blurred(picture: Gray) -> Gray:
    """What phones and editors put behind a picture of another shape: itself, larger and out of focus."""
    large = cv2.resize(picture[60:300, 107:533], (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 25), np.uint8)


def shaded(picture: Gray) -> Gray:
    return np.tile(np.linspace(40, 200, picture.shape[1]).astype(np.uint8), (len(picture), 1))


@pytest.mark.parametrize("backdrop", [blurred, shaded, lambda picture: np.full_like(picture, 30)])
@pytest.mark.parametrize("region", [PILLARBOX, (0, 70, WIDTH, HEIGHT - 70)])
def test_a_picture_between_margins_with_words_is_found(backdrop: Callable[[Gray], Gray], region: Region) -> None:
    (shot,) = shots_of(lettered(backdrop, region))
    assert shot.picture is not None
    left, top, right, bottom = region
    x, y, width, height = shot.picture
    apart = np.array([x - left, y - top, right - x - width, bottom - y - height])
    assert (apart[np.array(region) % [WIDTH, HEIGHT, WIDTH, HEIGHT] == 0] == 0).all()
    assert apart.min() >= 0
    assert apart.max() <= 3


def test_a_black_bar_on_one_side_goes_on_beyond_its_letters() -> None:
    def draw(number: int) -> Drawn:
        picture = np.roll(scenery(1, WIDTH, HEIGHT), 9 * number, axis=1)
        faces = [draw_person(picture, number, 180, 100, 60), draw_person(picture, number, 450, 100, 60)]
        picture[300:] = 16
        for x in (30, 400):
            cv2.putText(picture, "ANNA BELL", (x, 332), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 235, 2, cv2.LINE_AA)
            picture[342:344, x : x + 220] = 235
        return picture, faces

    (shot,) = shots_of(draw)
    assert shot.picture == (0, 0, WIDTH, 299)


def test_two_posts_of_a_room_are_no_edges_of_margins() -> None:
    def draw(number: int) -> Drawn:
        picture = np.tile(scenery(1, WIDTH // 5, HEIGHT // 5), (5, 5))
        for left in (100, WIDTH - 112):
            picture[:, left : left + 12] = 20
        return picture, [draw_person(picture, number, 230, 130, 70), draw_person(picture, number, 430, 140, 70)]

    (shot,) = shots_of(draw)
    assert shot.picture is None


def test_a_plain_strip_on_one_side_is_no_bar() -> None:
    (shot,) = shots_of(lambda number: barred(room(number), (0, 0, WIDTH, 300), 200))
    assert shot.picture is None


def test_bars_are_found_about_a_dark_scene_without_another_one() -> None:
    (shot,) = shots_of(lambda number: barred(room(number, 20, 45), LETTERBOX))
    assert shot.picture == (0, 46, WIDTH, HEIGHT - 92)


def night(number: int) -> Drawn:
    """A picture that is as black as a bar except for two people."""
    picture = np.full((HEIGHT, WIDTH), 16, np.uint8)
    return picture, [draw_person(picture, number, 180, 130, 70), draw_person(picture, number, 450, 140, 70)]


def test_a_night_shot_gets_the_bars_of_the_other_shots() -> None:
    shots = shots_of(
        lambda number: barred(room(number), LETTERBOX),
        lambda number: barred(night(number), LETTERBOX),
    )
    assert [shot.picture for shot in shots] == 2 * [(0, 46, WIDTH, HEIGHT - 92)]


def test_a_night_shot_alone_has_no_bars() -> None:
    assert [shot.picture for shot in shots_of(night, room)] == [None, None]


def test_a_strip_that_fades_into_the_picture_is_no_bar() -> None:
    def vignette(number: int) -> Drawn:
        picture, faces = room(number)
        light = np.clip(np.minimum(np.arange(HEIGHT), np.arange(HEIGHT)[::-1]) / 150 - 0.12, 0, 1)
        return (16 + (picture - 16.0) * light[:, None] * (picture > 16)).astype(np.uint8), faces

    assert shots_of(vignette)[0].picture is None


def boxes(regions: Sequence[Region], backdrop: int | None = 20, banner: Region | None = None) -> Drawing:
    """A composed picture: somebody in each of the regions, before a plain or pictured backdrop, under a banner."""

    def draw(number: int) -> Drawn:
        picture = scenery(9, WIDTH, HEIGHT).copy() if backdrop is None else np.full((HEIGHT, WIDTH), backdrop, np.uint8)
        faces = []
        for seed, (left, top, right, bottom) in enumerate(regions):
            width, height = right - left, bottom - top
            part = scenery(20 + seed, width, height).copy()
            x, y, *size = draw_person(part, number + seed, width // 2, height // 3, height // 4)
            into(picture, (left, top, right, bottom), part)
            faces.append((left + x, top + y, *size))
        if banner is not None:
            left, top, right, bottom = banner
            picture[top:bottom, left:right] = 220
            cv2.putText(picture, "LIVE FROM THE TEST", (left + 8, bottom - 8), cv2.FONT_HERSHEY_SIMPLEX, 1, 30, 3)
        return picture, faces

    return draw


def assert_boxes(shot: Shot, regions: Sequence[Region]) -> None:
    """Each box is found: nothing outside of it, and little of it missing."""
    assert len(shot.panes) == len(regions)
    for (x, y, width, height), (left, top, right, bottom) in zip(shot.panes, regions, strict=True):
        edges = np.array([x - left, y - top, right - x - width, bottom - y - height])
        assert edges.min() >= 0
        assert edges.max() <= 0.025 * WIDTH


TWO = [(40, 60, 310, 300), (330, 60, 600, 300)]
GRID = [(20, 10, 310, 170), (330, 10, 620, 170), (20, 190, 310, 350), (330, 190, 620, 350)]


@pytest.mark.parametrize(
    ("regions", "backdrop"),
    [
        (TWO, None),
        (TWO, 20),
        ([(0, 0, 318, 360), (322, 0, 640, 360)], 20),
        ([(90, 0, 310, 360), (326, 0, 550, 360)], 20),
        (GRID, None),
        (GRID, 20),
    ],
)
def test_the_boxes_of_a_composed_picture_are_found(regions: list[Region], backdrop: int | None) -> None:
    assert_boxes(shots_of(boxes(regions, backdrop))[0], regions)


def test_boxes_end_at_a_banner_that_lies_over_them() -> None:
    (shot,) = shots_of(boxes(GRID, banner=(0, 310, WIDTH, HEIGHT)))
    assert_boxes(shot, [*GRID[:2], (20, 190, 310, 310), (330, 190, 620, 310)])


def test_a_picture_in_the_picture_is_found() -> None:
    def draw(number: int) -> Drawn:
        picture, faces = boxes([(430, 220, 620, 345)], None)(number)
        cv2.circle(picture, (60 + 20 * number, 90), 30, 255, -1)
        return picture, faces

    assert_boxes(shots_of(draw)[0], [(430, 220, 620, 345)])


@pytest.mark.parametrize(
    "region", [(430, 220, WIDTH, HEIGHT), (0, 220, 200, HEIGHT), (0, 0, 180, 130), (450, 0, WIDTH, 140)]
)
def test_a_picture_in_the_corner_of_the_picture_is_found(region: Region) -> None:
    def draw(number: int) -> Drawn:
        picture = scenery(1, WIDTH, HEIGHT).copy()
        presenter = draw_person(picture, number, 320, 130, 70)
        composed, faces = boxes([region], None)(number)
        left, top, right, bottom = region
        picture[top:bottom, left:right] = composed[top:bottom, left:right]
        return picture, [presenter, *faces]

    assert_boxes(shots_of(draw)[0], [region])


def test_a_box_that_another_one_half_covers_is_found_as_far_as_it_can_be_seen() -> None:
    behind, before = (40, 40, 420, 300), (260, 180, 620, 350)
    assert_boxes(shots_of(boxes([behind, before], None))[0], [(40, 40, 420, 180), before])


def test_a_portrait_on_a_wall_is_no_box() -> None:
    def draw(number: int) -> Drawn:
        picture, faces = boxes([(430, 120, 620, 245)], None)(0)
        return picture, [*faces, draw_person(picture, number, 150, 130, 70)]

    assert shots_of(draw)[0].panes == ()


def test_door_frames_and_shelves_behind_people_are_no_boxes() -> None:
    def draw(number: int) -> Drawn:
        picture = scenery(1, WIDTH, HEIGHT).copy()
        for left, right in ((110, 250), (370, 530)):
            cv2.rectangle(picture, (left, 30), (right, 360), 240, 5)
        for y in (60, 240, 330):
            cv2.line(picture, (0, y), (WIDTH, y), 10, 4)
        return picture, [draw_person(picture, number, 180, 130, 80), draw_person(picture, number + 1, 450, 140, 80)]

    assert shots_of(draw)[0].panes == ()


def test_a_pole_and_a_table_between_two_people_make_no_boxes() -> None:
    def draw(number: int) -> Drawn:
        picture, faces = room(number)
        cv2.rectangle(picture, (285, 0), (297, HEIGHT), 230, -1)
        picture[280:] = 60
        return picture, faces

    assert shots_of(draw)[0].panes == ()


def test_a_molding_and_a_table_that_nobody_crosses_make_no_boxes() -> None:
    def draw(number: int) -> Drawn:
        picture, faces = room(number)
        cv2.line(picture, (320, 0), (320, HEIGHT), 230, 3)
        picture[280:] = 60
        return picture, faces

    assert shots_of(draw)[0].panes == ()


@pytest.mark.parametrize("step", [16, 24, 40])
def test_a_tiled_wall_behind_people_makes_no_boxes(step: int) -> None:
    def drawing(number: int) -> Drawn:
        picture = scenery(1, WIDTH, HEIGHT).copy()
        picture[::step], picture[:, ::step] = 20, 20
        return picture, [draw_person(picture, number, x, 130, 70) for x in (180, 450)]

    (shot,) = shots_of(drawing)
    assert shot.panes == ()


def test_bars_and_boxes_are_found_in_what_was_encoded(tmp_path: Path) -> None:
    inner = [(20, 60, 310, 300), (330, 60, 620, 300)]

    def draw(number: int) -> Drawn:
        picture, faces = boxes(inner, 235)(number)
        picture[:45] = picture[-45:] = 16
        return picture, faces

    path = tmp_path / "boxes.mp4"
    gray = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    with VideoWriter(
        path,
        width=WIDTH,
        height=HEIGHT,
        time_base=Fraction(1, 3),
        average_rate=Fraction(3),
        color=ColorInfo(),
        encoder=software_encoder(EncoderSettings(preset="ultrafast", quality=32)),
    ) as writer:
        for number in range(IMAGES):
            writer.write((draw(number)[0], gray, gray), number)

    with VideoReader(probe(path), loop_filter=False) as reader:
        decoded = [cv2.cvtColor(frame.bgr(), cv2.COLOR_BGR2GRAY) for frame in reader]
    (shot,) = shots_of(lambda number: (decoded[number], draw(number)[1]))
    assert shot.picture is not None
    _, y, _, height = shot.picture
    assert 46 <= y <= 48
    assert HEIGHT - 48 <= y + height <= HEIGHT - 46
    assert_boxes(shot, inner)


def test_an_edge_is_still_if_it_is_there_in_nearly_all_of_any_number_of_images() -> None:
    image = np.zeros((4, 32), np.uint8)
    image[:, 8:] = 100
    edges, total = Edges(image.shape, in_columns=False), np.zeros(image.shape, np.int32)
    for number in range(600):
        shown = image.copy()
        shown[:, 16:] += 50 * (number % 2)  # a second edge comes and goes
        edges.add(shown)
        total += shown
    lines = edges.lines(total)
    # The images' borders and what is right beside an edge count for it.
    assert np.flatnonzero(lines.still[-1]).tolist() == [7, 8, 9]
    assert lines.contrast[-1, 8] == 4 * 100


def test_a_logo_that_stands_in_two_shots_is_in_the_third_one_too() -> None:
    """It is white: before a bright window, nothing of it can be seen."""

    def drawing(low: float, high: float) -> Drawing:
        def draw(number: int) -> Drawn:
            picture, faces = room(number, low, high)
            cv2.putText(picture, "NEWS24", (WIDTH - 90, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 250, 2, cv2.LINE_AA)
            return picture, faces

        return draw

    dark, bright, dim = shots_of(drawing(40, 90), drawing(235, 255), drawing(50, 110))
    assert len(dark.overlays) == len(dim.overlays) == 1
    assert bright.overlays == dark.overlays
