from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dualface_core.system.machine_cores import machine_cores
from tests.conftest import SampleClip

MAIN = "from dualface_core.cli.main import main; main()"


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def child_of(program: subprocess.Popen[str]) -> psutil.Process:
    """The process in which the command runs, as soon as it does."""
    while program.poll() is None:
        for child in psutil.Process(program.pid).children():
            return child
        time.sleep(0.01)
    raise AssertionError("no process has begun")


@pytest.fixture
def video(sample_clip: SampleClip, tmp_path: Path) -> Path:
    path = tmp_path / "a talk.mp4"
    path.write_bytes(sample_clip("talk").read_bytes())
    return path


@pytest.mark.parametrize("step", ["run", "track"])
def test_a_crash_is_told_with_the_file(video: Path, step: str) -> None:
    with started(step, video) as program:
        child_of(program).send_signal(signal.SIGSEGV)
        _, err = program.communicate()
    assert program.returncode == 1
    last = err.splitlines()[-1]
    assert last.startswith(f"dualface: {step} '{video}': native code crashed while it was worked on (SIGSEGV). ")
    assert last.endswith("Convert it, and report it.")
    assert list(video.parent.iterdir()) == [video]


def test_it_ends_as_the_command_does(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("Buy milk.\n" * 100)
    with started("probe", text) as program:
        out, err = program.communicate()
    assert (program.returncode, out) == (2, "")
    assert err.startswith(f"dualface: {text}: not a video but text")
    with started("--help") as program:
        out, _ = program.communicate()
    assert program.returncode == 0
    assert "Usage: dualface " in out


def test_who_ends_the_program_ends_the_command(video: Path) -> None:
    with started("run", video) as program:
        child = child_of(program)
        program.terminate()
        _, err = program.communicate()
    assert program.returncode not in {0, 2}
    assert "crashed" not in err
    assert not child.is_running()
    assert list(video.parent.iterdir()) == [video]


def test_what_takes_long_to_load_is_loaded_by_the_command_that_needs_it() -> None:
    heavy = "{'numpy', 'av', 'cv2', 'pydantic', 'pyarrow', 'onnxruntime'}"
    code = f"import sys, dualface_core.cli.app; print({heavy} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"


@pytest.mark.skipif(machine_cores() < 2, reason="with one core there are no processes for tasks")
def test_processes_for_one_large_video_begin_to_load_before_the_command_has_loaded_anything(tmp_path: Path) -> None:
    large, another, small = tmp_path / "large.mp4", tmp_path / "another.mp4", tmp_path / "small.mp4"
    for path, size in ((large, 5_000_000), (another, 5_000_000), (small, 1000)):
        path.write_bytes(bytes(size))
    code = "import sys; from multiprocessing import forkserver; from dualface_core.cli.main import _load_early; "
    code += "_load_early(sys.argv[1:]); assert not {'numpy', 'pydantic', 'typer'} & {*sys.modules}; "
    code += "print(forkserver._forkserver._forkserver_pid is not None)"

    def begins(*arguments: object) -> bool:
        program = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=True)
        return program.stdout == b"True\n"

    assert begins("run", "--layout", "stacked", large)
    assert not any((begins("run", large, another), begins("run", small), begins("probe", large), begins()))


def test_a_probe_loads_neither_arrow_nor_onnx_runtime(video: Path) -> None:
    code = "import sys, dualface_core.cli.app as app; app.app(sys.argv[1:], standalone_mode=False); "
    code += "print({'pyarrow', 'onnxruntime'} & {*sys.modules}, file=sys.stderr)"
    program = subprocess.run([sys.executable, "-c", code, "probe", video], capture_output=True, check=True)
    assert program.stderr.endswith(b"set()\n")
