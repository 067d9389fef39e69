"""When Python looks for garbage that holds itself.

Belongs here: the rule for programs that load much and leave little of that kind behind.
"""

from __future__ import annotations

import atexit
import gc
from typing import Final

_UNCOLLECTED: Final = 50_000
"""Objects that may hold others, made and kept since the last time, at which Python looks for garbage. At its own 700, a
tenth of the time of a short command or run goes into looking through the modules that are being loaded."""


def collect_rarely() -> None:
    """Let this process, and those forked from it, look for garbage less often, and not when they end.

    As it ends, Python would look through all modules and take them apart: most of a second after SciPy and Dagster.
    What holds itself is then not told that it is gone; what must be, such as a file, is in a `with` block.
    """
    gc.set_threshold(_UNCOLLECTED)
    atexit.register(gc.freeze)
