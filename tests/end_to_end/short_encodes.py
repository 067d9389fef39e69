"""A program that encodes short videos with NVENC, one after the other, each in a session of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from dualface_core.encoding.sessions import NvencSessions
from tests.end_to_end.nvenc_writer import encode


def main(folder: Path, runtime: Path, times: int) -> None:
    """Encode so many videos of two pictures; anything that goes wrong ends the program with a traceback."""
    sessions = NvencSessions(runtime, gpu="GPU-0", timeout=120)
    for number in range(times):
        with sessions.acquire(f"{number}.mp4"):
            encode(folder / f"{number}.mp4", 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
