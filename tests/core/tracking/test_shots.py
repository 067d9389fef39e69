from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.tracking.shots import (
    AROUND,
    LOOK,
    CutSuspicion,
    ShotDetector,
    Thumbnail,
    changed_share,
    face_goes_on,
    make_thumbnail,
)

SIZE = (320, 180)
"""Width and height of the pictures in these tests."""

RATE = 25
"""Frames per second."""


def scenery(seed: int) -> NDArray[np.uint8]:
    """A picture with large and small shapes, wider and higher than `SIZE`."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (9, 16)).astype(np.float32), (640, 360), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.uniform(-40, 40, (45, 80)).astype(np.float32), (640, 360), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def view(picture: NDArray[np.uint8], x: float = 0, y: float = 0) -> NDArray[np.uint8]:
    """The part of a picture that a camera at x, y shows."""
    return picture[round(y) : round(y) + SIZE[1], round(x) : round(x) + SIZE[0]]


def noisy(frames: list[NDArray[np.uint8]], seed: int = 0) -> list[NDArray[np.uint8]]:
    """The frames with the noise of a camera."""
    rng = np.random.default_rng(seed)
    return [np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


def shots_in(frames: list[NDArray[np.uint8]]) -> ShotDetector:
    detector, suspicion = ShotDetector(), CutSuspicion()
    for number, frame in enumerate(frames):
        detector.add(suspicion.add(make_thumbnail(frame)), number / RATE)
    detector.finish()
    return detector


def starts_of(frames: list[NDArray[np.uint8]]) -> list[int]:
    detector, suspicion = shots_in(frames), CutSuspicion()
    assert detector.settled == len(frames)
    suspected = [number for number, frame in enumerate(frames) if suspicion.add(make_thumbnail(frame)).cut_likely]
    assert set(detector.doubtful) <= set(suspected)
    return detector.starts


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(LOOK + 1, 25), min_size=1, max_size=4))
def test_every_cut_between_still_views_is_found_at_its_frame(seed: int, lengths: list[int]) -> None:
    frames = [view(scenery(1000 * seed + shot)) for shot, length in enumerate(lengths) for _ in range(length)]
    assert starts_of(noisy(frames, seed)) == np.cumsum([0, *lengths[:-1]]).tolist()


def test_a_cut_that_only_swaps_two_people_is_found() -> None:
    room, left, right = scenery(1), scenery(2)[:90, :60], scenery(3)[:90, :60]
    before, after = view(room).copy(), view(room).copy()
    before[60:150, 60:120], before[60:150, 200:260] = left, right
    after[60:150, 60:120], after[60:150, 200:260] = right, left
    assert starts_of(noisy([before] * 20 + [after] * 20)) == [0, 20]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), speed=st.floats(0, 12), repeats=st.integers(1, 3))
def test_a_moving_camera_does_not_cut(seed: int, speed: float, repeats: int) -> None:
    # The camera sets off and comes to rest, as cameras do; every picture is shown once, twice or three times.
    traveled = np.cumsum(speed * np.sin(np.linspace(0, np.pi, 36)))
    frames = [view(scenery(seed), min(x, 320)) for x in traveled for _ in range(repeats)]
    assert starts_of(noisy(frames, seed)) == [0]


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("strength", [60, 150, 255])
def test_a_flash_is_no_cut(length: int, strength: int) -> None:
    still = view(scenery(5))
    flash = cv2.add(still, np.full_like(still, strength))
    assert starts_of(noisy([still] * 15 + [flash] * length + [still] * 15)) == [0]


def test_lights_that_go_down_slowly_are_no_cut() -> None:
    still = view(scenery(6))
    frames = [(still * (1 - step / 30)).astype(np.uint8) for step in range(31)]
    assert starts_of(noisy(frames)) == [0]


def test_a_cut_right_after_a_black_picture_is_found_once() -> None:
    black = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    assert starts_of([black] * 10 + [view(scenery(7))] * 10) == [0, 10]


def test_a_cut_is_suspected_as_soon_as_it_is_seen() -> None:
    suspicion = CutSuspicion()
    frames = [view(scenery(8))] * 10 + [view(scenery(9))] * 3
    assert [number for number, frame in enumerate(frames) if suspicion.add(make_thumbnail(frame)).cut_likely] == [10]


@pytest.mark.parametrize("rate", [10, 60])
def test_all_but_the_last_second_is_settled_and_little_is_kept(rate: int) -> None:
    detector = ShotDetector()
    still = Thumbnail(make_thumbnail(view(scenery(8))), step=0.0, way=0.0, cut_likely=False, plain=False)
    for number in range(10 * rate):
        detector.add(still, number / rate)
    assert 8.5 * rate <= detector.settled < 10 * rate
    kept = [values for values in vars(detector).values() if isinstance(values, list)]
    assert kept
    assert max(map(len, kept)) <= 2 * rate + AROUND


def blend(before: NDArray[np.uint8], after: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    return cv2.addWeighted(before, 1 - share, after, share, 0)


@pytest.mark.parametrize("length", [1, 2, 5, 12, 25])
def test_a_dissolve_cuts_in_its_middle(length: int) -> None:
    before, after = view(scenery(11)), view(scenery(12))
    mixed = [blend(before, after, (number + 1) / (length + 1)) for number in range(length)]
    _, start = starts_of(noisy([before] * 30 + mixed + [after] * 30))
    assert 30 + length // 2 <= start <= 30 + (length + 1) // 2


@pytest.mark.parametrize(("share", "start"), [(0.2, 21), (0.4, 21), (0.6, 20), (0.8, 20)])
def test_a_blended_frame_belongs_to_the_shot_that_it_shows_more_of(share: float, start: int) -> None:
    before, after = view(scenery(13)), view(scenery(14))
    shots = shots_in(noisy([before] * 20 + [blend(before, after, share)] + [after] * 20))
    assert shots.starts == [0, start]
    beyond = changed_share(make_thumbnail(before), make_thumbnail(after))
    assert all(doubt >= beyond - 0.05 for doubt in shots.doubtful.values())


@pytest.mark.parametrize("length", [4, 12, 20])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_wipe_cuts_in_its_middle(length: int, axis: int) -> None:
    before, after = view(scenery(15)), view(scenery(16))
    frames = []
    for number in range(length):
        frame = before.copy()
        edge = round((number + 1) / (length + 1) * before.shape[axis])
        frame[(slice(None),) * axis + (slice(edge),)] = after[(slice(None),) * axis + (slice(edge),)]
        frames.append(frame)
    _, start = starts_of(noisy([before] * 30 + frames + [after] * 30))
    assert abs(start - (30 + length // 2)) <= length // 4


@pytest.mark.parametrize("length", [6, 12, 20])
def test_a_fade_through_black_cuts_where_the_next_view_comes_up(length: int) -> None:
    before, after = view(scenery(17)), view(scenery(18))
    down = [(before * (1 - (number + 1) / length)).astype(np.uint8) for number in range(length)]
    up = [(after * ((number + 1) / length)).astype(np.uint8) for number in range(length)]
    _, start = starts_of(noisy([before] * 20 + down + up + [after] * 20))
    assert 20 + length <= start <= 20 + 2 * length - length // 3


def test_lights_that_go_out_and_on_again_are_no_cut() -> None:
    still = view(scenery(6))
    shares = [*np.linspace(1, 0, 12), *np.linspace(0, 1, 12)]
    frames = [(still * share).astype(np.uint8) for share in shares]
    assert starts_of(noisy([still] * 10 + frames + [still] * 20)) == [0]


def test_what_is_left_of_a_wipe_and_a_movement_right_after_it_are_no_second_cut() -> None:
    before, person = view(scenery(15)), cv2.resize(scenery(19), (110, 130))

    def after(x: float) -> NDArray[np.uint8]:
        frame = np.full((SIZE[1], SIZE[0]), 60, np.uint8)
        frame[50:180, round(x) : round(x) + 110] = person
        return frame

    wiped = []
    for edge in SIZE[0] * np.concatenate([np.linspace(0.12, 0.6, 5), np.linspace(0.633, 1, 12)]):
        frame = before.copy()
        frame[:, : round(edge)] = after(60)[:, : round(edge)]
        wiped.append(frame)
    moving = [after(x) for x in np.linspace(60, 68, 20)]
    _, start = starts_of(noisy([before] * 40 + wiped + moving + [after(68)] * 40))
    assert 40 < start < 57


def test_somebody_who_leans_over_before_a_plain_wall_is_no_cut() -> None:
    person = cv2.resize(scenery(19), (80, 110))
    frames = []
    for x in [*[100.0] * 15, *np.linspace(100, 130, 20), *[130.0] * 20]:
        frame = np.full((SIZE[1], SIZE[0]), 60, np.uint8)
        frame[70:180, round(x) : round(x) + 80] = person
        frames.append(frame)
    assert starts_of(noisy(frames)) == [0]


def with_faces(gray: NDArray[np.uint8], *faces: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """An image, and the boxes of what passes for faces in it: 40 pixels wide and 50 high, at these x and y."""
    return np.repeat(gray[..., None], 3, axis=2), np.array([(x, y, 40, 50) for x, y in faces], np.float32).reshape(
        -1, 4
    )


FACES = ((60, 40), (220, 40))


def test_a_pop_up_is_doubtful_and_withdrawn_where_a_face_goes_on() -> None:
    before = view(scenery(1))
    after = before.copy()
    after[30:150, 40:140] = 240
    detector = shots_in(noisy([before] * 20 + [after] * 20))
    assert list(detector.doubtful) == [20]
    detector.judge(20, face_goes_on(*with_faces(before, *FACES), *with_faces(after, FACES[1])))
    assert detector.spans() == [(0, 39)]


def test_a_cut_that_swaps_two_people_stands() -> None:
    before, after = view(scenery(1)).copy(), view(scenery(1)).copy()
    for x, seed, other in ((60, 2, 3), (220, 3, 2)):
        before[40:90, x : x + 40], after[40:90, x : x + 40] = scenery(seed)[:50, :40], scenery(other)[:50, :40]
    detector = shots_in(noisy([before] * 20 + [after] * 20))
    for known in (FACES, ()):
        detector.judge(20, face_goes_on(*with_faces(before, *known), *with_faces(after, *FACES)))
        assert detector.starts == [0, 20]


@pytest.mark.parametrize(("width", "starts"), [(100, [0]), (240, [0, 20])])
def test_where_there_are_no_faces_the_larger_part_of_a_picture_says_whether_it_cuts(
    width: int, starts: list[int]
) -> None:
    before = view(scenery(1))
    after = before.copy()
    after[10:170, 40 : 40 + width] = 240
    detector = shots_in(noisy([before] * 20 + [after] * 20))
    assert list(detector.doubtful) == [20]
    detector.judge(20, face_goes_on(*with_faces(before), *with_faces(after)))
    assert detector.starts == starts


@pytest.mark.parametrize("shape", [(1, 1), (20, 30), (36, 64), (1920, 1080), (541, 959)])
def test_pictures_of_any_size_will_do(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert starts_of([rng.integers(0, 255, shape, np.uint8)] * 12) == [0]
