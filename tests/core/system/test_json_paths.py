from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dualface_core.system.json_paths import JsonPath


class Document(BaseModel):
    path: JsonPath


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_any_path_comes_back_from_json(name: bytes) -> None:
    path = Path("/videos") / os.fsdecode(name)
    assert Document.model_validate_json(Document(path=path).model_dump_json()).path == path


def test_a_path_that_is_text_stays_as_it_is() -> None:
    assert Document(path=Path("videos/회의 100%.mp4")).model_dump_json() == '{"path":"videos/회의 100%.mp4"}'


def test_a_path_that_is_no_text_becomes_a_uri() -> None:
    path = Path(os.fsdecode(b"/videos/caf\xe9.mp4"))
    assert Document(path=path).model_dump_json() == '{"path":"file:///videos/caf%E9.mp4"}'
