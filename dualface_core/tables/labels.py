"""The closed sets of strings in the tables. Each member is its string, so columns and JSON stay readable."""

from __future__ import annotations

from enum import StrEnum


class Person(StrEnum):
    """Whom a face or a tile belongs to. A is on the left where both are first seen together."""

    A = "A"
    B = "B"


class FaceSource(StrEnum):
    """Where a row of FaceTracks comes from."""

    DETECTED = "detected"
    INTERPOLATED = "interpolated"


class CameraState(StrEnum):
    """What a tile's camera does in a frame, in the order in which a plan stores them.

    TRACKING: the person is in the frame, and the tile shows them. HOLDING: lost for a moment; the camera waits where
    they were. WIDE: not in this stretch; the tile shows the wide shot.
    """

    TRACKING = "tracking"
    HOLDING = "holding"
    WIDE = "wide"
