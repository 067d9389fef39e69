"""What is told of a process that ended without a word, since native code crashed in it or the kernel killed it."""

from __future__ import annotations

import signal

from dualface_core.errors import FileError, MachineError, NativeCrashError


def crash(what: str, code: int, last_words: tuple[str, ...] = ()) -> FileError:
    """The error of a process that has ended.

    Args:
        what: it was at work on: a file, or a command.
        code: its exit code, or the number of the signal that ended it, negative.
        last_words: what it said at the end.
    """
    if code == -signal.SIGKILL:
        found = "its process was killed (SIGKILL), as the kernel does when memory runs out"
        return MachineError(what, found, action="Work on fewer videos at once, or free memory, and run again.")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    found = f"native code crashed while it was worked on ({': '.join([how, *last_words[:1]])})"
    action = "The file is damaged or of a kind that a library cannot cope with. Convert it, and report it."
    return NativeCrashError(what, found, action=action)
