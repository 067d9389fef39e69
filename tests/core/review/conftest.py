"""A video with its result, tracks and a plan for the tests of this folder."""

from __future__ import annotations

import numpy as np
import pytest

from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.tile_plan import TilePlan
from tests.core.made_tracks import face_tracks, plan_camera
from tests.core.review.images import SIZE, sitting
from tests.page_content import about, content

__all__ = ["about", "content"]


@pytest.fixture(scope="session")
def tracks() -> FaceTracks:
    a, b = sitting(160, 300), sitting(480, 300)
    a[100:250] = np.nan
    return face_tracks(
        {"A": a, "B": b}, size=SIZE, cuts=[260], detected={"A": np.arange(300) % 3 == 0, "B": [True] * 300}
    )


@pytest.fixture(scope="session")
def plan(tracks: FaceTracks) -> TilePlan:
    return plan_camera(tracks, LAYOUTS["side-by-side"])
