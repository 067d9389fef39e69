from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualface_core.errors import TableFormatError
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.origins import check_plan, check_tracks
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, plan_camera

VIDEO = Path("talk.mp4")
FINGERPRINT = "0" * 64


@pytest.fixture
def tracks() -> FaceTracks:
    return face_tracks({"A": np.tile([300.0, 300, 200, 260], (30, 1)), "B": np.tile([1300.0, 300, 200, 260], (30, 1))})


def planned(tracks: FaceTracks) -> TilePlan:
    return plan_camera(tracks, LAYOUTS["side-by-side"])


def test_tables_of_one_video_belong_together_from_memory_and_from_files(tracks: FaceTracks, tmp_path: Path) -> None:
    plan = planned(tracks)
    tracks.write(tmp_path / "tracks.parquet")
    plan.write(tmp_path / "tiles.parquet")
    for given in (tracks, FaceTracks.read(tmp_path / "tracks.parquet")):
        for made in (plan, TilePlan.read(tmp_path / "tiles.parquet")):
            check_plan(made, VIDEO, FINGERPRINT, given)


def test_tracks_of_another_video_are_named_with_it(tracks: FaceTracks, tmp_path: Path) -> None:
    tracks.write(tmp_path / "b.tracks.parquet")
    other = FaceTracks.read(tmp_path / "b.tracks.parquet")
    with pytest.raises(TableFormatError) as caught:
        check_tracks(other, VIDEO, "f" * 64)
    assert str(caught.value) == (
        f"talk.mp4: its SHA-256 is ffffffffffff, but {tmp_path}/b.tracks.parquet was made from another video "
        "(000000000000). Name the table of this video, or track and plan it again."
    )


def test_a_plan_made_from_other_tracks_of_the_video_is_refused(tracks: FaceTracks) -> None:
    plan = planned(tracks)
    other = FaceTracks(tracks.table.slice(2), tracks.metadata)
    check_plan(plan, VIDEO, FINGERPRINT, tracks)
    with pytest.raises(TableFormatError, match=r"the tile plan: made from other face tracks .* Plan again"):
        check_plan(plan, VIDEO, FINGERPRINT, other)


def test_half_a_plan_is_refused(tracks: FaceTracks) -> None:
    plan = planned(tracks)
    half = plan.table.slice(0, 30)
    with pytest.raises(TableFormatError, match="found 30 rows, expected 30 frames of 2 tiles"):
        check_plan(replace(plan, table=half), VIDEO, FINGERPRINT)
    consistent = TilePlan(half, plan.metadata.model_copy(update={"frame_count": 15}))
    with pytest.raises(TableFormatError, match="found 15 frames, expected the 30"):
        check_plan(consistent, VIDEO, FINGERPRINT, tracks)
