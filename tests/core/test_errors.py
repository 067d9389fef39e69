from __future__ import annotations

import os
import pickle

import pytest

from dualface_core.encoding.failures import EncoderError, FailureClass, SessionTimeoutError
from dualface_core.errors import DualfaceError, OutputError
from tests.end_to_end.hostile import NAMES


@pytest.mark.parametrize("name", map(os.fsdecode, NAMES), ids=range(len(NAMES)))
def test_an_error_is_one_line_of_text_whatever_name_it_quotes(name: str) -> None:
    error = OutputError(name, f"both {name} and b.mp4 would be written here", action=f"Rename {name}.")
    said = EncoderError.caused_by(RuntimeError("it failed"), encoder="libx264", log=[f"[mp4] {name}: no such file"])
    for text in (str(error), str(said), said.reason):
        assert text.isprintable()
    if name.isprintable():
        assert str(error) == f"{name}: both {name} and b.mp4 would be written here. Rename {name}."


@pytest.mark.parametrize(
    "error",
    [
        OutputError("a.mp4", "the disk is full", action="Free some space."),
        SessionTimeoutError(FailureClass.SESSION_LIMIT, encoder="nvenc", reason="all are in use", waited=3.0),
    ],
)
def test_an_error_arrives_whole_from_another_process(error: DualfaceError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))
