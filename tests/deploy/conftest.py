"""A video with its result for the tests of this folder."""

from tests.page_content import about, content

__all__ = ["about", "content"]
