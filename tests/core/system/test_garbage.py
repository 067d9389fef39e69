from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc
from dualface_core.system.garbage import collect_rarely

class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("collected", end=" ")

{rarely}
print(gc.get_threshold()[0] > 10_000, end=" ")
Cycle()
"""


@pytest.mark.parametrize(("rarely", "says"), [("collect_rarely()", "True "), ("", "False collected ")])
def test_a_program_looks_for_garbage_less_often_and_not_when_it_ends(rarely: str, says: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(rarely=rarely)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == says
