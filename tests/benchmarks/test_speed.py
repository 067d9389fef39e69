from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest

from benchmarks.measuring import Cost, Watch, cost
from benchmarks.speed import _version, chosen, machine, measure
from benchmarks.speed_page import page
from benchmarks.speed_results import Case, Result, Results

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


SMALL, LARGE = {"cores": "2", "card": "none used"}, {"cores": "16", "card": "none used"}


def results(machine: dict[str, str], case: str, times: dict[str, list[float]]) -> list[Result]:
    return [
        Result(
            machine=machine,
            case=Case.parse(case),
            program=program,
            number=number,
            date="2026-11-29",
            cost=Cost(seconds, 6.0, 400_000_000),
            output_bytes=11_000_000,
            ssim=0.98 if program == "ffmpeg" and number == 1 else None,
        )
        for program, of_program in times.items()
        for number, seconds in enumerate(of_program, start=1)
    ]


ROUNDS = {"ffmpeg": [2.0, 4.0, 1.0], "dualface": [3.0, 8.0, 1.5]}


def test_results_are_found_in_their_file_again_as_they_were(tmp_path: Path) -> None:
    file, added = tmp_path / "results.jsonl", Results([])
    for result in results(SMALL, "4x60s@1920x1080:veryfast", ROUNDS):
        added.add(result, file)
    found = Results.read(file)
    case = Case.parse("4x60s@1920x1080:veryfast")
    assert found.machines == [SMALL]
    assert found.cases == [case]
    assert found.of(SMALL, case, "dualface", 2) == added.of(SMALL, case, "dualface", 2)
    assert not found.of(LARGE, case)


def test_a_round_that_was_not_ended_is_not_compared() -> None:
    found = Results(results(SMALL, "1x60s@1920x1080:veryfast", {"ffmpeg": [2.0, 4.0], "dualface": [3.0]}))
    assert found.ratio(SMALL, found.cases[0], "dualface") == 1.5
    assert found.ratio(SMALL, found.cases[0], "Dagster") is None


def test_a_program_that_has_a_result_of_a_round_is_not_measured_again(tmp_path: Path) -> None:
    (case,) = chosen(["quick"])
    there = Results(results(machine(), str(case), {"ffmpeg": [2.0]}))
    measure(case, ["ffmpeg"], 1, tmp_path, there, None, similar=False)
    assert len(there.of(machine())) == 1
    assert not list(tmp_path.iterdir())


def test_cases_are_chosen_by_their_group_or_their_name_once() -> None:
    cases = chosen(["lengths", "1x60s@1920x1080:veryfast", "2x3s@640x360:ultrafast"])
    assert len(cases) == len(set(cases))
    assert str(cases[-1]) == "2x3s@640x360:ultrafast"
    with pytest.raises(ValueError, match="fast is no case"):
        chosen(["fast"])


def test_the_page_has_medians_of_paired_rounds_of_each_machine_and_plots() -> None:
    found = [result for machine in (SMALL, LARGE) for result in results(machine, "4x60s@1920x1080:veryfast", ROUNDS)]
    made = page(Results(found))
    assert "| 1920x1080, 4 videos of 1 min, veryfast | 16 cores | 2.0 s | 1.50 |  |  |  |  |" in made.text
    assert "| 2 cores | dualface | 3.0 s | 1.50 | 80.0 | 6 s | 400 MB | 11.0 MB |  | 3 |" in made.text
    assert "| 16 cores | ffmpeg | 2.0 s | 1.00 | 120.0 | 6 s | 400 MB | 11.0 MB | 0.9800 | 3 |" in made.text
    assert [*made.plots] == ["benchmarks-time.svg"]
    assert circles(made.plots["benchmarks-time.svg"]) == 5 + 2 * 2  # of the legend; two programs on two machines


def test_the_page_says_what_longer_videos_take_by_a_minutes_time() -> None:
    found = results(SMALL, "1x60s@854x480:veryfast", ROUNDS) + results(
        SMALL, "1x600s@854x480:veryfast", {"dualface": [33.0]}
    )
    made = page(Results(found))
    assert "| 2 cores | 10 min | 0.055 s | +10 % | 0.010 s | -90 % | 400 MB | +0 % |" in made.text
    assert circles(made.plots["benchmarks-length.svg"]) == 2 + 2 * 3  # ffmpeg is known of one length


def test_a_page_can_do_without_what_others_take() -> None:
    made = page(Results(results(SMALL, "1x60s@854x480:veryfast", {"dualface": [33.0]})))
    assert "| 2 cores | dualface | 33.0 s |  | 1.8 |" in made.text
    assert not made.plots


def circles(plot: str) -> int:
    return len(ET.fromstring(plot).findall(".//{http://www.w3.org/2000/svg}circle"))
