from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import FaceSource, Person
from tests.core.made_tracks import face_tracks, with_columns

BOXES = np.array([[10, 20, 30, 40], [np.nan] * 4, [12, 20, 30, 40], [14, 20, 30, 40]])


@pytest.fixture
def tracks() -> FaceTracks:
    """Four frames in two shots; B is there throughout, A is missing in the second and interpolated in the third."""
    return face_tracks(
        {"A": BOXES, "B": np.full((4, 4), 50.0)},
        pts=[1000, 1040, 1085, 1120],
        time_base="1/1000",
        cuts=[3],
        detected={"A": [True, True, False, True], "B": [True] * 4},
    )


def test_every_frame_has_its_time_also_without_a_face(tracks: FaceTracks) -> None:
    assert tracks.pts.tolist() == [1000, 1040, 1085, 1120]
    assert tracks.times.tolist() == [1.0, 1.04, 1.085, 1.12]
    assert tracks.frame_count == 4


def test_the_times_cannot_be_changed_for_other_readers(tracks: FaceTracks) -> None:
    for values in (tracks.pts, tracks.times):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_shots_cover_all_frames_and_cuts_lie_between_them(tracks: FaceTracks) -> None:
    assert [tracks.times[shot.frames].tolist() for shot in tracks.shots] == [[1.0, 1.04, 1.085], [1.12]]
    assert [len(shot) for shot in tracks.shots] == [3, 1]
    assert tracks.cuts.tolist() == [3]


def test_a_box_is_nan_where_the_person_is_not_seen(tracks: FaceTracks) -> None:
    np.testing.assert_array_equal(tracks.boxes(Person.A), BOXES)


def test_rows_are_asked_for_by_person_and_by_where_they_come_from(tracks: FaceTracks) -> None:
    assert tracks.rows(Person.A)["frame"].to_pylist() == [0, 2, 3]
    assert tracks.rows(Person.A, FaceSource.DETECTED)["frame"].to_pylist() == [0, 3]
    assert tracks.rows(Person.A, FaceSource.INTERPOLATED)["frame"].to_pylist() == [2]


def test_the_smallest_margin_is_unknown_where_there_are_no_two_people(tracks: FaceTracks) -> None:
    assert tracks.smallest_margin == 1.0
    assert with_columns(tracks, identity_margin=[None] * 7).smallest_margin is None


def test_the_digest_of_tracks_survives_storage_and_notices_any_change(tracks: FaceTracks) -> None:
    chunked = pa.concat_tables([tracks.table.slice(0, 3), tracks.table.slice(3)])
    assert FaceTracks(chunked, tracks.metadata).sha256 == tracks.sha256
    assert with_columns(tracks, x=[1.5] * 7).sha256 != tracks.sha256
    renamed = tracks.metadata.model_copy(update={"fingerprint": "1" * 64})
    assert FaceTracks(tracks.table, renamed).sha256 != tracks.sha256
