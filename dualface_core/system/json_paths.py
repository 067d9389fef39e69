"""Paths in JSON. A path is any bytes; JSON is text.

Belongs here: that one difference. A path that is text stays as it is, for people; any other one becomes a `file:` URI,
in which each byte that is no letter has a number (RFC 8089).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote_to_bytes

from pydantic import PlainSerializer, PlainValidator

_SCHEME = "file://"


def _as_text(path: Path) -> str:
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return path.absolute().as_uri()
    return text


def _path(value: object) -> Path:
    if isinstance(value, str) and value.startswith(_SCHEME):
        return Path(os.fsdecode(unquote_to_bytes(value.removeprefix(_SCHEME))))
    if isinstance(value, str | Path):
        return Path(value)
    raise ValueError("expected a path")


JsonPath = Annotated[
    Path, PlainValidator(_path), PlainSerializer(_as_text, return_type=str, when_used="json-unless-none")
]
"""A field of a model for any path."""
