from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface_core.camera.film import film
from dualface_core.camera.parameters import CameraParameters
from dualface_core.directing.arrangement import arrange
from dualface_core.directing.director import choices_of
from dualface_core.directing.parameters import Direction
from dualface_core.directing.prospects import Footage, Prospects
from dualface_core.tables.face_tracks import Box, FaceTracks, Overlay, Shot
from tests.core.directing.people import FPS, SIDE_BY_SIDE, Boxes, away, directed, person, scenes, told
from tests.core.made_tracks import face_tracks, with_columns

SPLIT, SOLO_A, SOLO_B, TOGETHER, WHOLE = "split A B", "solo A", "solo B", "together pair", "whole frame"


def nobody(seconds: float) -> Boxes:
    return np.full((round(seconds * FPS), 4), np.nan)


def kinds(*args: Boxes, **choices: object) -> list[str]:
    return [name for name, _, _ in told(scenes(*args, **choices))]


def walk(*points: tuple[float, float], seconds: float) -> np.ndarray:
    times, values = np.array(points).T
    return np.interp(np.arange(round(seconds * FPS)) / FPS, times, values)


def test_two_who_sit_apart_are_one_split_from_first_to_last() -> None:
    times = np.arange(60 * FPS) / FPS
    a, b = (person(x + 40 * np.sin(times / 3), seconds=60) for x in (560, 1360))
    (scene,) = scenes(away(a, (10, 11.5), (30, 30.4)), away(b, (30, 32)))
    assert (scene.first, scene.last, scene.kind, scene.cast) == (0, 60 * FPS - 1, "split", ("A", "B"))
    assert scene.reason.startswith("Both are in view and can be shown apart: their faces are at least 5.6 face widths")


def test_singles_that_alternate_are_shown_one_at_a_time() -> None:
    a = np.concatenate([person(900, seconds=3), nobody(1), person(900, seconds=2)])
    b = np.concatenate([nobody(3), person(1000, seconds=1), nobody(2)])
    found = scenes(a, b, cuts=[3 * FPS, 4 * FPS])
    assert told(found) == [(SOLO_A, 0, 3), (SOLO_B, 3, 4), (SOLO_A, 4, 6)]
    assert {scene.reason for scene in found} == {"Only A is in view.", "Only B is in view."}


def test_a_wide_shot_between_singles_is_a_split_from_cut_to_cut() -> None:
    a = np.concatenate([person(900, seconds=3), person(560, seconds=4)])
    b = np.concatenate([nobody(3), person(1360, seconds=4)])
    assert told(scenes(a, b, cuts=[3 * FPS])) == [(SOLO_A, 0, 3), (SPLIT, 3, 7)]


def test_two_who_sit_too_close_are_shown_together() -> None:
    (scene,) = scenes(person(900), person(1040))
    assert told([scene]) == [(TOGETHER, 0, 10)]
    assert scene.reason == "Their faces come within 1.0 face widths; each tile would show both."


def test_two_who_pass_one_another_are_shown_together_while_they_do() -> None:
    right = walk((0, 500), (6, 500), (8, 1400), (14, 1400), seconds=14)
    found = told(scenes(person(right, seconds=14), person(1900 - right, seconds=14)))
    assert [name for name, _, _ in found] == [SPLIT, TOGETHER, SPLIT]
    first, last = found[1][1:]
    assert last - first == pytest.approx(2, abs=0.5)
    assert (first + last) / 2 == pytest.approx(7, abs=0.3)


def test_two_who_keep_coming_near_one_another_are_not_cut_to_and_fro() -> None:
    times = np.arange(30 * FPS) / FPS
    right = 980 + 130 * np.sin(2 * np.pi * times / 4)
    assert kinds(person(700, seconds=30), person(right, seconds=30)) == [TOGETHER]


def test_boxes_of_a_composed_picture_keep_two_apart_who_are_close() -> None:
    tracks = face_tracks({"A": person(880, height=150), "B": person(1050, height=150)})
    panes = ((0.0, 0.0, 960.0, 1080.0), (960.0, 0.0, 960.0, 1080.0))
    shots = [Shot(first=0, last=299, panes=panes)]
    boxed = type(tracks)(tracks.table, tracks.metadata.model_copy(update={"shots": shots}))
    assert told(directed(boxed)) == [(SPLIT, 0, 10)]


def test_who_leaves_for_good_leaves_the_canvas_to_the_other() -> None:
    found = scenes(away(person(500), (5, 10)), person(1400))
    assert told(found) == [(SPLIT, 0, pytest.approx(5.5, abs=0.05)), (SOLO_B, pytest.approx(5.5, abs=0.05), 10)]
    assert found[1].reason == "Only B is in view."


def test_who_comes_back_finds_their_tile_open() -> None:
    found = told(scenes(away(person(500), (3, 7)), person(1400)))
    assert found == [
        (SPLIT, 0, pytest.approx(3.5, abs=0.05)),
        (SOLO_B, pytest.approx(3.5, abs=0.05), pytest.approx(6.5, abs=0.05)),
        (SPLIT, pytest.approx(6.5, abs=0.05), 10),
    ]


def test_titles_and_inserts_are_shown_whole() -> None:
    a, b = (np.concatenate([nobody(1), person(x, seconds=4), nobody(3)]) for x in (500, 1400))
    found = scenes(a, b, cuts=[FPS, 5 * FPS])
    assert told(found) == [(WHOLE, 0, 1), (SPLIT, 1, 5), (WHOLE, 5, 8)]
    assert found[0].reason == "Neither A nor B is in view."


def test_a_video_of_one_person_is_a_solo() -> None:
    assert told(directed(face_tracks({"A": person(700)}))) == [(SOLO_A, 0, 10)]


def test_more_people_than_there_are_tiles_are_shown_whole_if_none_stands_out() -> None:
    four = face_tracks({name: person(300 + 400 * place) for place, name in enumerate("ABCD")})
    (scene,) = directed(four)
    assert told([scene]) == [(WHOLE, 0, 10)]
    assert scene.reason == "4 people are in view and none stands out; the layout has tiles for 2."


def test_people_in_the_background_change_nothing() -> None:
    tracks = face_tracks(
        {"A": person(400), "B": person(1500), "C": person(950, height=90), "D": person(1100, height=80)}
    )
    assert told(directed(tracks)) == [(SPLIT, 0, 10)]


def test_what_is_hardly_a_face_makes_no_crowd() -> None:
    tracks = face_tracks({"A": person(400), "B": person(1500), "C": person(950)})
    assert told(directed(tracks)) == [(WHOLE, 0, 10)]
    scores = [0.9 if name else 0.55 for name in tracks.table["person"].to_pylist()]
    assert told(directed(with_columns(tracks, score=scores))) == [(SPLIT, 0, 10)]


def test_a_detection_that_jumps_away_for_a_moment_is_no_reason() -> None:
    b = person(1400)
    b[100:106] = person(560, seconds=0.2)
    assert kinds(person(500), b) == [SPLIT]


def test_somebody_who_is_hardly_seen_is_not_there() -> None:
    assert kinds(person(500), away(person(1400), (0, 5), (5.3, 10))) == [SOLO_A]


def test_time_is_that_of_the_timestamps() -> None:
    a, b = away(person(500), (4, 6)), person(1400)
    assert kinds(a, b) == [SPLIT]
    assert kinds(a, b, pts=[4 * frame for frame in range(300)]) == [SPLIT, SOLO_B, SPLIT]


def test_without_scenes_there_is_one_split_throughout() -> None:
    tracks = face_tracks({"A": np.concatenate([person(900, seconds=3), nobody(3)]), "B": nobody(6)}, cuts=[90])
    (scene,) = directed(tracks, scenes="off")
    assert (told([scene]), scene.reason) == ([(SPLIT, 0, 6)], "Scenes are off: one split throughout.")


@st.composite
def walks(draw: st.DrawFn, seconds: int) -> Boxes:
    """Somebody who goes from place to place, and is away at times."""
    points = [(0.0, draw(st.floats(200, 1700)))]
    while points[-1][0] < seconds:
        points.append((points[-1][0] + draw(st.floats(0.5, 6)), draw(st.floats(200, 1700))))
    boxes = person(walk(*points, seconds=seconds), 500, draw(st.floats(80, 320)), seconds=seconds)
    gone = draw(st.lists(st.tuples(st.floats(0, seconds), st.floats(0.1, 5)), max_size=2))
    return away(boxes, *((start, min(start + length, seconds)) for start, length in gone))


@settings(deadline=None, max_examples=25)
@given(a=walks(16), b=walks(16), c=walks(16), cuts=st.sets(st.integers(1, 16 * FPS - 1), max_size=3))
def test_scenes_cover_all_frames_and_are_never_brief_and_never_show_anybody_twice(
    a: Boxes, b: Boxes, c: Boxes, cuts: set[int]
) -> None:
    tracks = face_tracks({"A": a, "B": b, "C": c}, cuts=sorted(cuts))
    found = directed(tracks)
    assert [frame for scene in found for frame in range(scene.first, scene.last + 1)] == list(range(16 * FPS))
    assert all((one.kind, one.cast) != (next_one.kind, next_one.cast) for one, next_one in pairwise(found))
    footage = Footage.of(tracks)
    for shot in tracks.shots:
        parts = [(max(scene.first, shot.first), min(scene.last, shot.last)) for scene in found]
        lengths = [(last + 1 - first) / FPS for first, last in parts if last >= first]
        assert len(lengths) == 1 or min(lengths) >= 2 - 1e-6
        prospects = Prospects.of(footage, shot, SIDE_BY_SIDE, choices_of(SIDE_BY_SIDE), CameraParameters(), Direction())
        for scene in found:
            if scene.kind == "split" and scene.first <= shot.last and scene.last >= shot.first:
                part = slice(max(scene.first - shot.first, 0), scene.last + 1 - shot.first)
                assert prospects.apart[part].all()


# --- what is laid over the picture, and whose face is cut -----------------------------------------------------------


def overlaid(tracks: FaceTracks, box: Box, begin: float | None = None) -> FaceTracks:
    """The same tracks with something laid over their only shot."""
    overlay = Overlay(box=box, begin=begin)
    shots = [shot.model_copy(update={"overlays": (overlay,)}) for shot in tracks.shots]
    return replace(tracks, metadata=tracks.metadata.model_copy(update={"shots": shots}))


def test_a_title_bar_that_the_cameras_can_leave_out_changes_nothing() -> None:
    tracks = face_tracks({"A": person(500), "B": person(1400)})
    assert [kind for kind, *_ in told(directed(overlaid(tracks, (100, 800, 1700, 120))))] == [SPLIT]


def test_a_name_under_a_chin_is_held_by_its_tile_while_it_is_there_and_the_split_stays() -> None:
    caption = (250.0, 600.0, 640.0, 70.0)
    tracks = overlaid(face_tracks({"A": person(560, 450, 240), "B": person(1400, 450, 240)}), caption, begin=4.0)
    found = directed(tracks)
    assert told(found) == [(SPLIT, 0, 10)]
    x, y, width, height = film(tracks, found, arrange(found, SIDE_BY_SIDE, tracks, Direction())).crop_windows[:, 0].T
    there = np.arange(len(x)) >= 4 * FPS
    assert (x - width / 2)[there].max() <= caption[0]
    assert (x + width / 2)[there].min() >= caption[0] + caption[2]
    assert (y + height / 2)[there].min() >= caption[1] + caption[3]
    assert np.abs(np.diff(width)).max() < 960 / 200


def test_a_title_bar_that_would_be_cut_in_two_is_held_by_a_two_shot_from_when_it_comes() -> None:
    tracks = overlaid(face_tracks({"A": person(500, 300), "B": person(1400, 300)}), (100, 420, 1700, 120), begin=4.0)
    (split, *_), (kind, begin, _) = told(scenes := directed(tracks))
    assert split == SPLIT
    assert (kind, begin) == (TOGETHER, pytest.approx(4, abs=0.1))
    assert "would cut a caption" in scenes[1].reason


def test_a_title_bar_from_side_to_side_is_shown_in_the_whole_picture() -> None:
    tracks = overlaid(face_tracks({"A": person(500, 300), "B": person(1400, 300)}), (0, 420, 1920, 120), begin=4.0)
    assert [kind for kind, *_ in told(directed(tracks))] == [SPLIT, WHOLE]


def test_one_alone_is_not_filmed_so_that_an_edge_goes_through_a_bystander() -> None:
    bystander = person(700, 730, 110)
    assert kinds(person(700), nobody(10)) == [SOLO_A]
    tracks = face_tracks({"A": person(700, 400, 150), "B": nobody(10), "someone": bystander})
    assert [kind for kind, *_ in told(directed(tracks))] == [WHOLE]


def test_a_bystander_of_whom_the_detector_is_sure_now_and_then_is_there_in_between() -> None:
    people = {"A": person(700, 400, 150), "B": nobody(10), "someone": person(700, 730, 110)}
    tracks = face_tracks(people)
    table = tracks.table
    unsure = pc.and_(pc.is_null(table["person"]), pc.not_equal(pc.bit_wise_and(table["frame"], 31), 0))
    score = pc.if_else(unsure, pa.scalar(0.6, pa.float32()), table["score"])
    table = table.set_column(table.schema.get_field_index("score"), table.schema.field("score"), score)
    assert [kind for kind, *_ in told(directed(FaceTracks(table, tracks.metadata)))] == [WHOLE]
    unsure_of_all = table.set_column(
        table.schema.get_field_index("score"),
        table.schema.field("score"),
        pc.multiply(score, pa.scalar(0.8, pa.float32())),
    )
    assert [kind for kind, *_ in told(directed(FaceTracks(unsure_of_all, tracks.metadata)))] == [SOLO_A]


def test_the_picture_in_the_corner_of_the_picture_is_in_nobody_elses_tile() -> None:
    inset = (1400.0, 640.0, 520.0, 440.0)
    tracks = face_tracks({"A": person(1150, 400, 260), "B": person(1660, 800, 120)})
    shots = [Shot(first=0, last=tracks.frame_count - 1, panes=(inset,))]
    tracks = FaceTracks(tracks.table, tracks.metadata.model_copy(update={"shots": shots}))
    found = directed(tracks)
    assert told(found) == [(SPLIT, 0, 10)]
    tiles = arrange(found, SIDE_BY_SIDE, tracks, Direction())
    windows = film(tracks, found, tiles).crop_windows
    assert (windows[:, 0, 0] + windows[:, 0, 2] / 2 <= 1400 + 1).all()
    assert (windows[:, 1, 0] - windows[:, 1, 2] / 2 >= 1400 - 1).all()
