"""Exit codes: 0 every output verified; 1 something failed along the way; 2 the input or a setting cannot be used."""

from __future__ import annotations

from typing import Final

from dualface_core.errors import DualfaceError, InputError, OutputError, SettingsError

EXIT_FAILED: Final = 1
EXIT_INPUT: Final = 2


def exit_code(error: DualfaceError) -> int:
    """The code with which the command ends after this error."""
    return EXIT_INPUT if isinstance(error, InputError | OutputError | SettingsError) else EXIT_FAILED
