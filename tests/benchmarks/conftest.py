"""Face tracks for the tests of this folder."""

from tests.core.conftest import face_tracks

__all__ = ["face_tracks"]
