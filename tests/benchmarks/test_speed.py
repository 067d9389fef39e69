from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

import psutil
import pytest

from benchmarks.measuring import Case, Cost, Measured, Watch, cost
from benchmarks.speed import _version
from benchmarks.speed_page import page

BUSY = """
import subprocess, sys, time
held = bytearray(100_000_000)
if sys.argv[1:]:
    while time.process_time() < 0.5: pass
    print("burnt", flush=True)
    sys.stdin.read()
else:
    subprocess.run([sys.executable, "-c", sys.argv[0], "child"])
"""


def test_a_cost_counts_what_commands_start() -> None:
    command = [sys.executable, "-c", f"import sys; sys.argv[0] = {BUSY!r}; exec({BUSY!r})"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout
        assert started.stdout.readline() == b"burnt\n"
        watch = Watch([psutil.Process(started.pid)])
        watch.look()
    assert watch.cpu_seconds >= 0.5
    assert watch.peak > 200_000_000


def test_a_command_that_fails_ends_the_benchmark_with_what_it_said() -> None:
    with pytest.raises(SystemExit, match=r"ended with 1\n(?s:.*)out of luck"):
        cost([sys.executable, "-c", "import sys; sys.exit('out of luck')"])


def test_what_is_not_installed_is_said_and_ends_no_benchmark() -> None:
    assert _version("dualface-of-nobody") == "not installed"


def test_the_page_has_medians_of_paired_rounds_and_a_plot() -> None:
    costs = {
        "ffmpeg": [Cost(2.0, 4.0, 100_000_000), Cost(4.0, 4.0, 100_000_000), Cost(1.0, 4.0, 100_000_000)],
        "dualface": [Cost(3.0, 6.0, 300_000_000), Cost(8.0, 6.0, 400_000_000), Cost(1.5, 6.0, 300_000_000)],
    }
    case = Case("1920x1080", 60, 4, "veryfast")
    made = page(
        [Measured(case, costs, {"ffmpeg": 10_000_000, "dualface": 11_000_000}, {"ffmpeg": 0.98})], {"cores": "2"}
    )
    assert "| dualface | 3.0 s | 1.50 | 80.0 | 6 s | 400 MB | 11.0 MB |  |" in made.text
    assert "| ffmpeg | 2.0 s | 1.00 | 120.0 | 4 s | 100 MB | 10.0 MB | 0.9800 |" in made.text
    assert "3 rounds" in made.text
    for name, plot in made.plots.items():
        assert f"(images/{name})" in made.text
        assert len(ET.fromstring(plot).findall(".//{http://www.w3.org/2000/svg}rect")) == 3
