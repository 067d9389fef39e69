"""Compiles the emulated libraries into a cache folder, once for each state of their sources.

Several test processes may ask at once: a lock lets one of them compile, into a temporary folder that is renamed when it
is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE / "build"
LIBRARIES = {"libcuda.so.1": "cuda.c", "libnvidia-encode.so.1": "nvenc.c", "libnvidia-ml.so.1": "nvml.c"}
# FFmpeg unloads the libraries whenever it closes an encoder; nodelete keeps their state.
FLAGS = [
    "-std=c11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wl,-z,nodelete",
    "-pthread",
]


def why_unavailable() -> str | None:
    """Say why the emulator can't work on this machine, or None if it can."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return f"the emulated NVENC driver is for Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    if not shutil.which("gcc"):
        return "the emulated NVENC driver is compiled by gcc, and there is no gcc on this machine"
    return None


@cache
def build() -> Path:
    """Compile what is not in the cache yet, and return the folder that holds the three libraries.

    Raises:
        RuntimeError: gcc is missing or did not accept the sources; the message holds what it said.
    """
    if reason := why_unavailable():
        raise RuntimeError(reason)
    sources = sorted([*HERE.glob("*.c"), *HERE.glob("*.h")])
    state = hashlib.sha256(repr(FLAGS).encode() + b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = CACHE / state
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
                whole = Path(temporary, "libraries")
                whole.mkdir()
                for library, source in LIBRARIES.items():
                    _compile(HERE / source, whole / library)
                whole.rename(folder)
    return folder


def _compile(source: Path, library: Path) -> None:
    command = ["gcc", *FLAGS, f"-Wl,-soname,{library.name}", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"gcc could not compile {source.name}:\n{done.stderr}")
