"""Names that Dagster gives a meaning to: tags of runs, and keys of metadata, each written here once.

Belongs here: names and what Dagster does with them. Doesn't: names of our own making, which stand with what they mean.
See https://docs.dagster.io/guides/build/assets/metadata-and-tags/tags.
"""

from typing import Final

ROW_COUNT: Final = "dagster/row_count"
"""Metadata: rows of a table, shown in the catalog."""
