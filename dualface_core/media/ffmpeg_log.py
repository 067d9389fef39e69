"""FFmpeg's log, heard only while an encoder is called.

Belongs here: switching PyAV's log on and off. Without it an exception carries no reason. With it on, a damaged video
can hang the program: a line logged by one of FFmpeg's own threads waits for Python's global lock, and PyAV holds that
lock while it closes a codec and waits for that very thread. So it is on for as short a time as possible, and never
while a decoder of the same video is closed. Where a card encodes, it would be on all the while: a thread that logs and
holds the lock of a decoder's pool waits for one that holds Python's lock and gives a frame back to that pool. There,
and where many threads use a card, FFmpeg writes its log itself, to the standard error of a process of its own.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import av.logging

_lock: Final = threading.Lock()
_listeners = 0
_on_stderr = False

_STDERR: Final = 2
_PREFIX: Final = re.compile(r"\[([^\]]+) @ 0x[0-9a-f]+\] ")

# Lines of threads that nobody listens to go to this logger; an application that wants them adds a handler.
logging.getLogger("libav").addHandler(logging.NullHandler())
av.logging.set_skip_repeated(False)  # the second of two equal failures has a reason too


def log_to_stderr() -> None:
    """Have FFmpeg write what it logs at WARNING or worse to standard error, without Python, from now on.

    For a process of its own, whose standard error is a file that can be read.
    """
    global _on_stderr  # noqa: PLW0603  FFmpeg has one log for the whole process
    av.logging.set_libav_level(av.logging.WARNING)
    av.logging.restore_default_callback()
    _on_stderr = True


@contextmanager
def captured_log(level: int = av.logging.WARNING) -> Iterator[Iterable[tuple[int, str, str]]]:
    """Collect what this thread's calls log at `level` or worse, as (level, who, text), oldest first.

    NVENC says why it refuses a size or an option at WARNING. A level that the application has set stays as it is. After
    `log_to_stderr` it is what all threads log at WARNING meanwhile, whatever `level` is.
    """
    global _listeners  # noqa: PLW0603  the level belongs to the process, not to anybody in it
    if _on_stderr:
        yield _WrittenFromNow()
        return
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


class _WrittenFromNow:
    """What FFmpeg writes to standard error from now on; nothing where that is no file."""

    def __init__(self) -> None:
        self._from = os.fstat(_STDERR).st_size

    def __iter__(self) -> Iterator[tuple[int, str, str]]:
        length = os.fstat(_STDERR).st_size - self._from
        with suppress(OSError):
            for line in os.pread(_STDERR, length, self._from).decode(errors="replace").splitlines():
                text = _PREFIX.sub("", line)
                yield av.logging.WARNING, next(reversed(_PREFIX.findall(line)), ""), text
