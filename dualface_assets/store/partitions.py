"""One partition per video, and the grammar of its key.

Belongs here: how a key is made from a file's name and content, and the check that every path goes through. Dagster
takes any string as a dynamic partition key (`../../x` too, typed into its web page), so a key is never trusted to be
one that was made here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import dagster as dg

from dualface_core.errors import DualfaceError

videos = dg.DynamicPartitionsDefinition(name="videos")
"""One partition per video; uploads register their keys."""

SLUG_BYTES: Final = 80
"""A file system allows 255 bytes in a name, and suffixes are added to the slug."""

DIGEST_DIGITS: Final = (10, 20, 64)
"""How many hex digits of the SHA-256 a key may end with: the first, unless different content has that key already."""

_KEY: Final = re.compile(r"(?P<slug>.+)-(?P<digest>[0-9a-f]+)", re.DOTALL)


class UnsafeKeyError(DualfaceError):
    """A partition key is not one that an upload was given, so no path may be built from it."""

    permanent = True


def slug(name: str) -> str:
    """The readable part of a key: letters, digits and their marks in any script, lower case, with dashes between.

    Args:
        name: a file's name without its suffix, whatever it holds; undecodable bytes may be surrogates.

    Returns:
        1 to `SLUG_BYTES` bytes of UTF-8 in normal form C; "video" where nothing is left of the name.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).lower())
    words = "".join(c if _readable(c) else " " for c in text).split()
    shortened = "-".join(words).encode()[:SLUG_BYTES].decode(errors="ignore")
    return shortened.strip("-") or "video"


def partition_key(name: str, sha256: str, *, digits: int = DIGEST_DIGITS[0]) -> str:
    """The key of a video: the slug of its file's name, a dash, and the first hex digits of its content's SHA-256."""
    return f"{slug(name)}-{sha256[:digits]}"


def is_key(key: str) -> bool:
    """Whether `key` could have been made by `partition_key`, and so is safe as one component of a path."""
    match = _KEY.fullmatch(key)
    return (
        match is not None
        and len(match["digest"]) in DIGEST_DIGITS
        and len(match["slug"].encode(errors="replace")) <= SLUG_BYTES
        and match["slug"][0] != "-"
        and all(c == "-" or _readable(c) for c in match["slug"])
    )


def check_key(key: str) -> str:
    """Return `key` if it is safe. Raises UnsafeKeyError."""
    if not is_key(key):
        msg = (
            f"{key!r} is not the partition key of an upload, such as 'interview-0123456789'. "
            "Delete this partition, and put the video into the inbox: it is given a key there."
        )
        raise UnsafeKeyError(msg)
    return key


def _readable(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"
