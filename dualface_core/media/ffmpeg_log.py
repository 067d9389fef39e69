"""FFmpeg's log, heard only while an encoder is called.

Belongs here: switching PyAV's log on and off. Without it an exception carries no reason. With it on, a damaged video
can hang the program: a line logged by one of FFmpeg's own threads waits for Python's global lock, and PyAV holds that
lock while it closes a codec and waits for that very thread. So it is on for as short a time as possible, and never
while a decoder of the same video is closed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import av.logging

_lock: Final = threading.Lock()
_listeners = 0

# Lines of threads that nobody listens to go to this logger; an application that wants them adds a handler.
logging.getLogger("libav").addHandler(logging.NullHandler())
av.logging.set_skip_repeated(False)  # the second of two equal failures has a reason too


@contextmanager
def captured_log(level: int = av.logging.WARNING) -> Iterator[list[tuple[int, str, str]]]:
    """Collect what this thread's calls log at `level` or worse, as (level, who, text), oldest first.

    NVENC says why it refuses a size or an option at WARNING. A level that the application has set stays as it is.
    """
    global _listeners  # noqa: PLW0603  the level belongs to the process, not to anybody in it
    with _lock:
        ours = _listeners > 0 or av.logging.get_level() is None
        if ours:
            _listeners += 1
            av.logging.set_level(max(level, av.logging.get_level() or 0))
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        if ours:
            with _lock:
                _listeners -= 1
                if _listeners == 0:
                    av.logging.set_level(None)
