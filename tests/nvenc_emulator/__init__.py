"""An emulated NVENC driver: FFmpeg's real NVENC code runs on it, on machines without a GPU.

Three shared libraries in C stand in for the driver (`cuda.c`, `nvenc.c`, `nvml.c`); `LD_LIBRARY_PATH` puts them before
FFmpeg in the processes under test, and only there. `docs/nvenc-emulator.md` says how it works and what it can't tell.

Tests ask for the fixture `emulated_driver` (see `tests.nvenc_emulator.fixtures`):

    def test_something(emulated_driver):
        driver = emulated_driver(sessions=1, fault="crash@50,once")
        subprocess.run(["dualface", "run", ...], env=os.environ | driver.environment())
        assert driver.most_open_at_once() == 1

From a shell: `python -m tests.nvenc_emulator --sessions 0 -- dualface run talk.mp4 --encoder nvenc`.
"""

from tests.nvenc_emulator.driver import Card, EmulatedDriver, Event, most_open_at_once
from tests.nvenc_emulator.libraries import build, why_unavailable

__all__ = ["Card", "EmulatedDriver", "Event", "build", "most_open_at_once", "why_unavailable"]
