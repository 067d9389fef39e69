"""What the encoding process and its parent say to each other: one JSON document a line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from dualface_core.encoding.failures import EncoderError, FailureClass, SessionTimeoutError
from dualface_core.encoding.sessions import RuntimeFolderError
from dualface_core.encoding.settings import EncoderSettings, EncoderSpec, nvenc_encoder
from dualface_core.errors import (
    ChangedPlanError,
    ChangedVideoError,
    DualfaceError,
    FileError,
    InputError,
    LayoutFileError,
    LimitError,
    MachineError,
    MissingInputError,
    ModelError,
    NativeCrashError,
    NobodyFoundError,
    NoVideoStreamError,
    OutputError,
    PortraitError,
    ProtectedVideoError,
    SettingsError,
    TableFormatError,
    UnreadableVideoError,
    UnsupportedVideoError,
    VerificationError,
)
from dualface_core.media.joining import UnjoinableSpansError
from dualface_core.media.probe import VideoInfo
from dualface_core.media.span_files import SpanFile
from dualface_core.media.spans import Span
from dualface_core.system.private_folders import PrivateFolderError

_ENCODER_ERRORS: Final = {kind.__name__: kind for kind in (EncoderError, RuntimeFolderError, SessionTimeoutError)}
_FILE_ERRORS: Final = {
    kind.__name__: kind
    for kind in (
        ChangedPlanError,
        ChangedVideoError,
        NativeCrashError,
        FileError,
        InputError,
        LayoutFileError,
        LimitError,
        MachineError,
        MissingInputError,
        NoVideoStreamError,
        NobodyFoundError,
        OutputError,
        PortraitError,
        PrivateFolderError,
        ProtectedVideoError,
        TableFormatError,
        UnreadableVideoError,
        UnsupportedVideoError,
        VerificationError,
    )
}
_OTHER_ERRORS: Final = {
    kind.__name__: kind for kind in (DualfaceError, ModelError, SettingsError, UnjoinableSpansError)
}


class Job(BaseModel):
    """What to encode, as the parent hands it over.

    Attributes:
        video: the source.
        plan: the Parquet file of the plan.
        output: where to write; the parent publishes it.
        encoder: quality, codec and preset.
        fingerprints: where every composed frame leaves its fingerprint; None for nowhere.
        spans: where spans are put into files of their own; None for nowhere.
        on_card: whether the card decodes and composes, too.
        turns: spans of the source that two decoders of the card take in turn; none for one decoder.
        decode_threads: CPU threads of the source's decoder; see `VideoReader`.
        compose_threads: threads that compose.
        runtime: folder of the slot files.
        gpu: what the slots are of: the UUID of the card, which is the only one that the process sees, or another name.
        max_sessions: slots that there are.
        session_timeout: longest wait for one while its holders make no progress, in seconds.
    """

    model_config = ConfigDict(frozen=True)

    video: VideoInfo
    plan: Path
    output: Path
    encoder: EncoderSettings
    fingerprints: Path | None = None
    spans: Path | None = None
    on_card: bool = False
    turns: list[Span] = []
    decode_threads: int = 0
    compose_threads: int = 1
    runtime: Path
    gpu: str
    max_sessions: int
    session_timeout: float

    def spec(self) -> EncoderSpec:
        """The NVENC encoder to open."""
        return nvenc_encoder(self.encoder)


class Queued(BaseModel):
    """Other encodes hold all slots; this one waits in turn."""

    kind: Literal["queued"] = "queued"


class Opened(BaseModel):
    """A slot is held: its number, and the seconds that it took."""

    kind: Literal["opened"] = "opened"
    slot: int
    waited: float


class Refused(BaseModel):
    """The driver refused a session for the so-many-th time; it is tried again."""

    kind: Literal["refused"] = "refused"
    times: int
    reason: str


class Progressed(BaseModel):
    """So many frames have been handed to the encoder."""

    kind: Literal["progressed"] = "progressed"
    frames: int


class Encoded(BaseModel):
    """A span lies in a file of its own; see `SpanFile`."""

    kind: Literal["encoded"] = "encoded"
    span: SpanFile


class Finishing(BaseModel):
    """All frames have been handed to the encoder; the file is being completed."""

    kind: Literal["finishing"] = "finishing"
    frames: int


class Done(BaseModel):
    """The file is complete: frames, seconds waited for the session, seconds of work.

    If the card was to decode and compose and could not, `not_on_card` says why the processor did; `not_in_turn`, why it
    did not with two decoders.
    """

    kind: Literal["done"] = "done"
    frames: int
    waited: float
    seconds: float
    not_in_turn: str | None = None
    not_on_card: str | None = None


class Failed(BaseModel):
    """It did not work: which error, so that the parent can raise it again."""

    kind: Literal["failed"] = "failed"
    error: str
    failure: FailureClass = FailureClass.UNKNOWN
    encoder: str = ""
    reason: str = ""
    log: tuple[str, ...] = ()
    waited: float = 0.0
    path: str = ""
    found: str = ""
    action: str = ""

    @classmethod
    def of(cls, error: DualfaceError) -> Self:
        """Pack an error."""
        name = type(error).__name__
        match error:
            case EncoderError():
                return cls(
                    error=name,
                    failure=error.failure,
                    encoder=error.encoder,
                    reason=error.reason,
                    log=error.log,
                    waited=error.waited,
                )
            case FileError():
                return cls(error=name, path=error.path, found=error.found, action=error.action)
            case _:
                return cls(error=name, reason=str(error))

    def unpacked(self) -> DualfaceError:
        """The error, as the process met it."""
        if kind := _ENCODER_ERRORS.get(self.error):
            return kind(self.failure, encoder=self.encoder, reason=self.reason, log=self.log, waited=self.waited)
        if file_kind := _FILE_ERRORS.get(self.error):
            return file_kind(self.path, self.found, action=self.action)
        return _OTHER_ERRORS.get(self.error, DualfaceError)(self.reason)


Message = Annotated[
    Queued | Opened | Refused | Progressed | Encoded | Finishing | Done | Failed, Field(discriminator="kind")
]
"""What the encoding process says."""
