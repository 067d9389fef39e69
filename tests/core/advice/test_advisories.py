from __future__ import annotations

import numpy as np
import pytest

from dualface_core.advice.advisories import (
    Advisory,
    encoder_advisory,
    enlargement_advisory,
    framing_advisory,
    identity_advisory,
    source_advisory,
)
from dualface_core.advice.timeline_events import Kind, events
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.verification.findings import clock
from tests.core.made_tracks import face_tracks, plan_camera, with_columns

SIDE_BY_SIDE = LAYOUTS["side-by-side"]


def sitting(x: float, frames: int = 600) -> np.ndarray:
    return np.tile([x, 300.0, 200.0, 260.0], (frames, 1))


def sure(tracks: FaceTracks, *, doubtful: range = range(0)) -> FaceTracks:
    """The same tracks; the names are clear, but for A's in some frames."""
    rows = tracks.table.to_pylist()
    margins = [1.5 if row["frame"] in doubtful and row["person"] == "A" else 40.0 for row in rows]
    return with_columns(tracks, identity_margin=margins)


def test_clear_names_are_no_concern() -> None:
    advisory = identity_advisory(sure(face_tracks({"A": sitting(300), "B": sitting(1300)})))
    assert advisory.passed
    assert advisory.figures["smallest margin"] == 40
    assert advisory.figures["least allowed margin"] == 3


def test_an_unsure_name_is_told_with_its_place() -> None:
    advisory = identity_advisory(sure(face_tracks({"A": sitting(300), "B": sitting(1300)}), doubtful=range(60, 120)))
    assert not advisory.passed
    assert "from 0:02.0 to 0:04.0" in advisory.message
    assert advisory.action
    assert advisory.figures["unsure (s)"] == pytest.approx(59 / 30)


def test_a_glance_is_too_short_to_worry_about() -> None:
    tracks = sure(face_tracks({"A": sitting(300), "B": sitting(1300)}), doubtful=range(60, 70))
    assert identity_advisory(tracks).passed
    assert identity_advisory(tracks).figures["smallest margin"] == 1.5


def test_one_person_cannot_be_mistaken_for_another() -> None:
    tracks = face_tracks({"A": sitting(300)})
    assert identity_advisory(with_columns(tracks, identity_margin=[None] * len(tracks.table))).passed


def test_a_face_beside_its_tile_is_a_concern() -> None:
    there = face_tracks({"A": sitting(300), "B": sitting(1300)})
    moved = sitting(300)
    moved[:60, 0] = 1500  # a tenth of the time they are somewhere else
    advisory = framing_advisory(face_tracks({"A": moved, "B": sitting(1300)}), plan_camera(there, SIDE_BY_SIDE))
    assert not advisory.passed
    assert advisory.message.startswith("Tile A does not show the whole face of its person in 10.0%")
    assert advisory.figures["A: face in its tile (%)"] == pytest.approx(90)
    assert advisory.figures["B: face in its tile (%)"] == 100
    assert framing_advisory(there, plan_camera(there, SIDE_BY_SIDE)).passed


def test_a_face_at_the_edge_of_the_picture_is_shown_as_far_as_it_is_there() -> None:
    tracks = face_tracks({"A": sitting(-60), "B": sitting(1300)})
    assert framing_advisory(tracks, plan_camera(tracks, SIDE_BY_SIDE)).passed


@pytest.mark.parametrize(("size", "passed"), [((1920, 1080), True), ((640, 360), False)])
def test_a_small_source_is_enlarged_until_it_looks_soft(size: tuple[int, int], passed: bool) -> None:
    scale = size[0] / 1920
    tracks = face_tracks({"A": sitting(300) * scale, "B": sitting(1300) * scale}, size=size)
    advisory = enlargement_advisory(plan_camera(tracks, SIDE_BY_SIDE))
    assert advisory.passed is passed
    assert advisory.figures["most allowed"] == 2
    assert (max(advisory.figures[f"{person}: largest enlargement"] for person in "AB") > 2) is not passed
    assert advisory.message.startswith(("Tile A enlarges the source", "Tile B enlarges the source"))


def test_what_enlarges_a_source_has_a_name_whatever_it_shows() -> None:
    tracks = face_tracks({"A": sitting(300), "B": sitting(1300)})
    plan = with_columns(plan_camera(tracks, SIDE_BY_SIDE), subject=["pair", "frame"] * tracks.frame_count)
    assert enlargement_advisory(plan).message.startswith(
        ("The tile of both enlarges", "The whole picture's tile enlarges")
    )


def test_software_is_a_concern_only_where_nvenc_should_have_done_it() -> None:
    none = encoder_advisory(used="libx264", why="No NVIDIA driver was found.", fallback=False)
    fallback = encoder_advisory(used="libx264", why="NVENC failed at this video before (crashed).", fallback=True)
    assert none.passed
    assert not fallback.passed
    assert "NVENC failed at this video before (crashed)." in fallback.message
    assert "dualface gpu" in fallback.action


def test_what_of_the_source_was_changed_is_told_in_its_own_words() -> None:
    advisory = source_advisory(["Audio track 2 (apac) is left out.", "The clock restarts at 0:02.0."])
    assert not advisory.passed
    assert advisory.message == "Audio track 2 (apac) is left out. The clock restarts at 0:02.0."
    assert advisory.action
    assert source_advisory([]).passed


def test_what_is_no_concern_asks_for_nothing() -> None:
    tracks = sure(face_tracks({"A": sitting(300), "B": sitting(1300)}))
    plan = plan_camera(tracks, SIDE_BY_SIDE)
    found: list[Advisory] = [identity_advisory(tracks), framing_advisory(tracks, plan), enlargement_advisory(plan)]
    assert [advisory.action for advisory in found] == ["", "", ""]


def test_moments_are_the_cuts_and_where_a_tile_waits_or_goes_wide_and_what_is_unsure() -> None:
    leaves = sitting(1300)
    leaves[150:450] = np.nan  # for ten seconds
    tracks = sure(face_tracks({"A": sitting(300), "B": leaves}, cuts=[540]), doubtful=range(90))
    found = events(tracks, plan_camera(tracks, SIDE_BY_SIDE))
    assert [(event.kind, event.person) for event in found] == [
        (Kind.UNSURE, "A"),
        (Kind.HOLDING, "B"),
        (Kind.WIDE, "B"),
        (Kind.CUT, None),
    ]
    unsure, holding, wide, cut = found
    assert (unsure.start, unsure.end, unsure.margin) == (0, pytest.approx(89 / 30), 1.5)
    assert holding.start == pytest.approx(5)
    assert holding.end == wide.start
    assert cut.start == cut.end == 18


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (59.97, "1:00.0"), (61.24, "1:01.2"), (3723.4, "1:02:03.4")]
)
def test_times_are_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
