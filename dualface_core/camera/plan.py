"""One split from the first frame to the last: the plan of a layout whose tiles stay where they are.

Belongs here: putting a split before the cameras. Doesn't: how they move (`film`).
"""

from __future__ import annotations

import numpy as np

from dualface_core.camera.film import film
from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import SceneKind
from dualface_core.tables.layouts import Layout
from dualface_core.tables.scenes import Scene
from dualface_core.tables.tile_plan import TilePlan


def plan_camera(tracks: FaceTracks, layout: Layout, parameters: CameraParameters | None = None) -> TilePlan:
    """Decide what each tile of a layout shows in every frame.

    Args:
        tracks: who is where.
        layout: the tiles, and whose they are.
        parameters: how the cameras behave; the defaults if None.
    """
    parameters = parameters or CameraParameters()
    cast = tuple(tile.subject for tile in layout.tiles)
    split = Scene(
        first=0, last=tracks.frame_count - 1, kind=SceneKind.SPLIT, cast=cast, reason="One layout throughout."
    )
    rectangles = np.array([tile.rectangle for tile in layout.tiles])
    tiles = np.broadcast_to(rectangles, (tracks.frame_count, *rectangles.shape))
    filmed = film(tracks, [split], tiles, parameters)
    return TilePlan.of(
        tracks,
        layout,
        scenes=[split],
        tiles=tiles,
        crop_windows=filmed.crop_windows,
        states=filmed.states,
        camera=parameters.model_dump(),
        direction={},
    )
