"""A reviewed video for the tests of this folder."""

from tests.reviewed import about, reviewed

__all__ = ["about", "reviewed"]
