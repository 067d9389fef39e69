from __future__ import annotations

import locale
import platform
from pathlib import Path

import pytest

from dualface_core.system.compile_kernels import SOURCES, compiled, heading

each = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)


@each
def test_the_compiled_kernels_are_those_of_the_source(source: Path) -> None:
    assert source.with_suffix(".ptx").read_bytes().startswith(heading(source))


@each
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the pinned compiler is for x86-64 alone")
def test_whoever_compiles_the_kernels_gets_the_same_bytes_and_keeps_the_locale(source: Path) -> None:
    encoding = locale.getencoding()
    assert source.with_suffix(".ptx").read_bytes() == compiled(source)
    assert locale.getencoding() == encoding
