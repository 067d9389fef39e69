"""Makes a `.ptx` of each `.cu`: `python -m dualface_core.system.compile_kernels`, after every change of one.

Belongs here: calling NVIDIA's compiler, which is a library of the package nvidia-cuda-nvrtc-cu12 and needs no card.
Nobody but a developer needs it. Its version is pinned, so that the same source gives the same bytes.
"""

from __future__ import annotations

import ctypes
import hashlib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import files
from pathlib import Path
from typing import Final

SOURCES: Final = sorted(Path(__file__).parents[1].rglob("*.cu"))
"""The kernels of all rooms."""

_PACKAGE: Final = "nvidia-cuda-nvrtc-cu12"
_OPTIONS: Final = (b"--gpu-architecture=compute_75", b"--std=c++17")
"""Turing is the oldest architecture that NVIDIA's present drivers know."""


def heading(source: Path) -> bytes:
    """The first line of the PTX, which tells of which source it is."""
    return f"// of {source.name} with the SHA-256 {hashlib.sha256(source.read_bytes()).hexdigest()}\n".encode()


def compiled(source: Path) -> bytes:
    """The PTX of a source, with its heading. Raises RuntimeError with what the compiler says of a wrong one."""
    with ThreadPoolExecutor(1) as thread:  # which has another locale (`uselocale`) when the compiler is done
        return heading(source) + thread.submit(_ptx, source).result()


def _ptx(source: Path) -> bytes:
    compiler = _compiler()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    text, name = source.read_bytes(), source.name.encode()
    compiler.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None)
    failed = compiler.nvrtcCompileProgram(program, len(_OPTIONS), (ctypes.c_char_p * len(_OPTIONS))(*_OPTIONS))
    kind = "ProgramLog" if failed else "PTX"
    getattr(compiler, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    said = ctypes.create_string_buffer(size.value)
    getattr(compiler, f"nvrtcGet{kind}")(program, said)
    if failed:
        raise RuntimeError(said.value.decode())
    return said.value


def _compiler() -> ctypes.CDLL:
    """The library, and before it the part of it that it would look for elsewhere."""
    libraries = {path.name.split(".")[0]: path for path in files(_PACKAGE) or [] if ".so" in path.name}
    ctypes.CDLL(str(Path(libraries["libnvrtc-builtins"].locate())), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(Path(libraries["libnvrtc"].locate())))


if __name__ == "__main__":
    for each in SOURCES:
        each.with_suffix(".ptx").write_bytes(compiled(each))
