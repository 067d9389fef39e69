"""Names of files that are no text.

Belongs here: refusing them. To Linux a name is any bytes; to JSON, Parquet, HTML and Dagster it is text. A name that is
not UTF-8 is refused where a video comes in and where a result goes out, and nothing in between has to carry it.
"""

from __future__ import annotations

from pathlib import Path

from dualface_core.errors import FileError, InputError


def check_text(path: Path, error: type[FileError] = InputError) -> None:
    """Raise the error where the absolute path is not UTF-8."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        found = "the name, or that of a folder above, is no text (it has bytes that are not UTF-8)"
        raise error(path, found, action="Rename it.") from None
