"""How the virtual cameras behave: every figure that a user may change, with its unit.

Belongs here: the parameters alone, so that a reader of a plan's parameters needs no camera.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CameraParameters(BaseModel):
    """How the virtual cameras behave.

    Attributes:
        face_height: height of the face box, as a share of the tile's height.
        eye_line: distance of the eyes of such a face from the top of the tile, as a share of the tile's height.
        lead_room: how far a profile is moved back, so that there is room where it looks, as a share of the crop window.
        max_upscale: tile pixels per source pixel that zooming in may reach.
        closest: the crop window may always shrink to this share of the widest one, however small the source is.
        position_dead_zone: how far a face may drift to either side during a hold, as a share of the crop window.
        eye_dead_zone: how far the eyes may drift up or down during a hold in a split, as a share of the crop window.
        zoom_dead_zone: how far its size may drift meanwhile, in natural logarithms (0.08 is about 8 %).
        pace: extents of the crop window per second. The camera is faster only where it would lose the face.
        zoom_ease: seconds that it takes to open out when a person is gone, and to close in before they are back.
        zoom_pace: natural logarithms per second. A change of zoom is faster only where the face would not fit.
        shortest_hold: seconds. Briefer holds become part of one eased move.
        median_window: seconds of the median that removes lone outliers of position; for zoom it is four times as long.
        bridge: seconds. A person lost for no longer counts as present.
        hold: seconds that the camera waits for a lost person before it opens out.
        shortest_appearance: seconds. A person seen more briefly than this, away from the rest, is not followed.
        face_margin: room around the face box that always stays inside the tile, as a share of the box.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    face_height: float = Field(default=0.32, ge=0.05, le=0.8)
    eye_line: float = Field(default=0.40, ge=0.2, le=0.6)
    lead_room: float = Field(default=0.06, ge=0.0, le=0.2)
    max_upscale: float = Field(default=2.0, ge=1.0, le=8.0)
    closest: float = Field(default=0.6, ge=0.2, le=1.0)
    position_dead_zone: float = Field(default=0.05, ge=0.0, le=0.2)
    eye_dead_zone: float = Field(default=0.02, ge=0.0, le=0.2)
    zoom_dead_zone: float = Field(default=0.08, ge=0.0, le=0.5)
    pace: float = Field(default=0.095, ge=0.01, le=10.0)
    zoom_ease: float = Field(default=2.5, ge=0.1, le=10.0)
    zoom_pace: float = Field(default=0.05, ge=0.01, le=10.0)
    shortest_hold: float = Field(default=2.0, ge=0.0, le=10.0)
    median_window: float = Field(default=0.4, ge=0.0, le=5.0)
    bridge: float = Field(default=0.5, ge=0.0, le=5.0)
    hold: float = Field(default=2.0, ge=0.0, le=30.0)
    shortest_appearance: float = Field(default=0.4, ge=0.0, le=5.0)
    face_margin: float = Field(default=0.1, ge=0.0, le=0.5)
