"""The errors that a user can meet, each a whole sentence: what was found, what was expected, what to do.

Belongs here: the base class and the errors of inputs, outputs and settings, which every layer may raise. Failures of
an encoder have a taxonomy of their own in `dualface_core.encoding.failures`. A bug is not an error of these types:
it keeps its traceback.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import ClassVar


def one_line(text: str) -> str:
    """Text that others have written, on one line: what is not visible, or turns the line around, is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class DualfaceError(Exception):
    """Anything that goes wrong in a way that we can explain.

    Attributes:
        permanent: True if trying again with the same input cannot help, so that no run is retried.
        back_off: True if trying again can help, but not at once: a full disk, a drive that does not answer.
    """

    permanent: ClassVar[bool] = False
    back_off: ClassVar[bool] = False

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process whatever the constructor asks for."""
        return _remade, (type(self), self.args, self.__dict__)


def _remade(kind: type[DualfaceError], args: tuple[object, ...], state: dict[str, object]) -> DualfaceError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class FileError(DualfaceError):
    """A problem with one file or folder.

    Args:
        path: the file that the sentence is about; it opens the message.
        found: what is the matter with it.
        action: what the reader can do about it.
    """

    def __init__(self, path: str | PathLike[str], found: str, *, action: str) -> None:
        self.path = fspath(path)
        self.found = found
        self.action = action
        super().__init__(self.path, found, action)

    def __str__(self) -> str:
        return one_line(f"{self.path}: {self.found}. {self.action}")


class InputError(FileError):
    """The user's file cannot be used as it is."""

    permanent = True


class MissingInputError(InputError):
    """There is no such file, or a folder holds no video."""


class UnreadableVideoError(InputError):
    """The file is not a video, or is damaged: empty, truncated, or not decodable."""


class ChangedVideoError(InputError):
    """The file is not the one that an earlier step has read."""


class ChangedPlanError(InputError):
    """A result was made from another tile plan than the one that it is to be described with."""


class ProtectedVideoError(InputError):
    """The video is encrypted, so nothing of it can be decoded."""


class LimitError(InputError):
    """The video is larger, longer or has more of something than a setting allows."""


class NoVideoStreamError(InputError):
    """The file is readable but holds no video, such as an audio file."""


class UnsupportedVideoError(InputError):
    """The video is intact, but of a kind that is not supported, such as Dolby Vision profile 5."""


class NobodyFoundError(InputError):
    """No face was found in the whole video."""


class MachineError(FileError):
    """A file cannot be read at this moment, and not for a reason of its own: a disk, a network drive, no memory."""

    back_off = True


class NativeCrashError(FileError):
    """Code outside of Python took down the process that was at work on a file."""


class PortraitError(InputError):
    """The image that is to name a person is not one of a face, or is like nobody in the video."""


class TableFormatError(InputError):
    """A Parquet file is not the table that was expected, or belongs to another video."""


class LayoutFileError(InputError):
    """A layout file does not say how tiles lie on a canvas, or says it wrongly."""


class OutputError(FileError):
    """The result cannot be written: no permission, no space, or no such folder."""

    back_off = True


class VerificationError(FileError):
    """An output was made but is not right. It was not published."""


class SettingsError(DualfaceError):
    """A setting or option has a value that is not allowed."""

    permanent = True


class ModelError(DualfaceError):
    """A model file is missing or is not the file that it should be."""

    permanent = True
