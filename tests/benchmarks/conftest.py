"""Face tracks for the tests of this folder."""

from tests.core.conftest import build_tracks

__all__ = ["build_tracks"]
