from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from dualface_core.system.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
rounds = 20
for number in range(-1, rounds):
    if number == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(4 << 20, np.uint8) for _ in range(6)]
    del blocks
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / rounds)
"""


def pages_a_round(what: str) -> float:
    """Pages that the kernel maps while 24 MB are allocated, written to and freed again."""
    program = [sys.executable, "-c", PROGRAM, what]
    return float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="it is not glibc")
def test_memory_that_was_freed_is_used_again_and_not_mapped_anew() -> None:
    assert pages_a_round("given back") > 1000
    assert pages_a_round("kept") < 10


HEAPS = """
import sys, threading
import numpy as np
from dualface_core.system.memory import use_one_heap

if sys.argv[1] == "one":
    use_one_heap()
at_once = threading.Barrier(8)
def allocate():
    at_once.wait()
    block = np.ones(64 << 10, np.uint8)
    at_once.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# glibc reserves 64 MB of addresses, of which little is mapped, for each heap but the first.
lines = open("/proc/self/maps").read().splitlines()
sizes = [int(end, 16) - int(begin, 16) for begin, end in (line.split()[0].split("-") for line in lines)]
print(sum(32 << 20 < size < 64 << 20 for size in sizes))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="it is not glibc")
def test_threads_share_the_memory_that_each_has_freed() -> None:
    heaps = {
        what: int(
            subprocess.run([sys.executable, "-c", HEAPS, what], check=True, capture_output=True, text=True).stdout
        )
        for what in ("one", "several")
    }
    assert heaps["one"] == 0 < heaps["several"]


KEPT = """
import resource

import numpy as np

from dualface_core.system.memory import give_freed_memory_back, keep_freed_memory

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

keep_freed_memory()
blocks = [np.ones(1 << 20, np.uint8) for _ in range(64)]
del blocks
kept = held()
give_freed_memory_back()
print((kept - held()) >> 20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="it is not glibc")
def test_what_was_kept_is_given_back_when_it_is_not_needed_any_more() -> None:
    said = subprocess.run([sys.executable, "-c", KEPT], check=True, capture_output=True, text=True).stdout
    assert int(said) > 48
