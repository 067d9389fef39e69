"""Templates, and the policy that a page is under: nothing but what is in the page itself may run or be loaded.

Belongs here: how text gets into HTML. Everything is escaped by the template engine, since file names and error
messages are whatever somebody has put there; beyond that, the page's Content-Security-Policy allows only the very
script and style that it was made with, by their SHA-256, and images and videos from where the page lies.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dualface_core.verification.findings import clock

TEMPLATES: Final = Path(__file__).with_name("templates")
"""Those of a video's page, and the style that all pages share."""

PAGE_SCRIPT: Final = TEMPLATES / "page.js"
"""Of a video's page."""


def rendered(template: str, *, script: str, templates: Path = TEMPLATES, **values: Any) -> str:
    """A page as HTML.

    Args:
        template: its name in `templates`.
        script: name of the script that it carries, likewise.
        templates: the folder of both.
        values: what the template shows. Strings are escaped; nothing else can come from outside.
    """
    style, code = _asset(TEMPLATES / "style.css"), _asset(templates / script)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {digest(TEMPLATES / 'style.css')}; script-src {digest(templates / script)}; "
        "img-src 'self' data: file:; media-src 'self' file:"
    )
    return _environment(templates).get_template(template).render(style=style, script=code, policy=policy, **values)


@cache
def _environment(templates: Path) -> Environment:
    loader = FileSystemLoader(templates)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"clock": clock, "duration": _duration, "when": _when, "data_uri": _data_uri}
    return environment


@cache
def _asset(path: Path) -> Markup:
    """A script or style of ours, which goes into the page as it is."""
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704  a file of this package


def digest(path: Path) -> str:
    """What allows a script or style of ours in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(_asset(path).encode()).digest()).decode()}'"


def _data_uri(image: bytes) -> str:
    """A JPEG inside a link."""
    return f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"


def _duration(seconds: float) -> str:
    """Such as 0.4 s, 51 s, 12 min 3 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _when(time: datetime) -> str:
    """Such as 2026-11-26 03:42 UTC, which the page's script puts into the reader's own time zone."""
    return f"{time:%Y-%m-%d %H:%M} UTC"
