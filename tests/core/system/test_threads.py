from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

COUNTS = """
import os
from concurrent.futures import ThreadPoolExecutor
from dualface_core.system.threads import limit_library_threads
limit_library_threads()
import numpy
of_blas = len(os.listdir("/proc/self/task"))  # which has them as soon as it is loaded
import cv2, pyarrow
print(of_blas, *ThreadPoolExecutor(1).submit(lambda: (pyarrow.cpu_count(), cv2.getNumThreads())).result())
"""
TOLD = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"}


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, (1, 1, 1)),
        ({"OMP_NUM_THREADS": "2", "OPENCV_FOR_THREADS_NUM": "3"}, (min(2, len(os.sched_getaffinity(0))), 2, 3)),
    ],
)
def test_blas_arrow_and_opencv_have_one_thread_in_every_thread_of_a_program(
    given: Mapping[str, str], counts: tuple[int, ...]
) -> None:
    free = {name: value for name, value in os.environ.items() if name not in TOLD}
    said = subprocess.run(
        [sys.executable, "-c", COUNTS], env={**free, **given}, capture_output=True, text=True, check=True
    )
    assert tuple(map(int, said.stdout.split())) == counts
