from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

COUNTS = """
from concurrent.futures import ThreadPoolExecutor
from dualface_core.system.threads import limit_library_threads
limit_library_threads()
import cv2, torch
print(*ThreadPoolExecutor(1).submit(lambda: (torch.get_num_threads(), cv2.getNumThreads())).result())
"""


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, (1, 1)),
        ({"OMP_NUM_THREADS": "2", "OPENCV_FOR_THREADS_NUM": "3"}, (2, 3)),
    ],
)
def test_torch_and_opencv_have_one_thread_in_every_thread_of_a_program(
    given: Mapping[str, str], counts: tuple[int, int]
) -> None:
    free = {
        name: value for name, value in os.environ.items() if name not in {"OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"}
    }
    said = subprocess.run(
        [sys.executable, "-c", COUNTS], env={**free, **given}, capture_output=True, text=True, check=True
    )
    assert tuple(map(int, said.stdout.split())) == counts
