from __future__ import annotations

import os

import pytest

from dualface_core.encoding.failures import EncoderError
from dualface_core.errors import OutputError
from tests.end_to_end.hostile import NAMES


@pytest.mark.parametrize("name", map(os.fsdecode, NAMES), ids=range(len(NAMES)))
def test_an_error_is_one_line_of_text_whatever_name_it_quotes(name: str) -> None:
    error = OutputError(name, f"both {name} and b.mp4 would be written here", action=f"Rename {name}.")
    said = EncoderError.caused_by(RuntimeError("it failed"), encoder="libx264", log=[f"[mp4] {name}: no such file"])
    for text in (str(error), str(said), said.reason):
        assert text.isprintable()
    if name.isprintable():
        assert str(error) == f"{name}: both {name} and b.mp4 would be written here. Rename {name}."
