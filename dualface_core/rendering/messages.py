"""What the encoding process and its parent say to each other: one JSON document a line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from dualface_core.errors import DualfaceError, FileError, InputError, OutputError
from dualface_core.media.encoders import EncoderSettings, EncoderSpec, nvenc_encoder
from dualface_core.media.errors import EncoderError, FailureClass, SessionTimeoutError
from dualface_core.media.probe import VideoInfo


class Job(BaseModel):
    """What to encode, as the parent tells it.

    Attributes:
        video: the source.
        plan: the Parquet file of the plan.
        output: where to write; the parent publishes it.
        encoder: quality, codec and preset.
        runtime: folder of the slot files.
        gpu: what the slots are of.
        max_sessions: slots that there are.
        session_timeout: longest wait for one, in seconds.
    """

    model_config = ConfigDict(frozen=True)

    video: VideoInfo
    plan: Path
    output: Path
    encoder: EncoderSettings
    runtime: Path
    gpu: str
    max_sessions: int
    session_timeout: float

    def spec(self) -> EncoderSpec:
        """The NVENC encoder to open."""
        return nvenc_encoder(self.encoder)


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
    """So many frames have been encoded."""

    kind: Literal["progressed"] = "progressed"
    frames: int


class Done(BaseModel):
    """The file is complete: frames, seconds waited for the session, seconds of work."""

    kind: Literal["done"] = "done"
    frames: int
    waited: float
    seconds: float


class Failed(BaseModel):
    """It did not work: which error, so that the parent can raise it again."""

    kind: Literal["failed"] = "failed"
    error: Literal["session-timeout", "encoder", "input", "output", "other"]
    failure: FailureClass = FailureClass.UNKNOWN
    encoder: str = ""
    reason: str = ""
    log: tuple[str, ...] = ()
    path: str = ""
    found: str = ""
    action: str = ""

    @classmethod
    def of(cls, error: DualfaceError) -> Self:
        """Pack an error."""
        match error:
            case EncoderError():
                return cls(
                    error="session-timeout" if isinstance(error, SessionTimeoutError) else "encoder",
                    failure=error.failure,
                    encoder=error.encoder,
                    reason=error.reason,
                    log=error.log,
                )
            case FileError():
                return cls(
                    error="input" if error.permanent else "output",
                    path=error.path,
                    found=error.found,
                    action=error.action,
                )
            case _:
                return cls(error="other", reason=str(error))

    def unpacked(self) -> DualfaceError:
        """The error, as the process met it."""
        match self.error:
            case "session-timeout":
                return SessionTimeoutError(self.failure, encoder=self.encoder, reason=self.reason, log=self.log)
            case "encoder":
                return EncoderError(self.failure, encoder=self.encoder, reason=self.reason, log=self.log)
            case "input":
                return InputError(self.path, self.found, action=self.action)
            case "output":
                return OutputError(self.path, self.found, action=self.action)
            case "other":
                return DualfaceError(self.reason)


Message = Annotated[Opened | Refused | Progressed | Done | Failed, Field(discriminator="kind")]
"""What the encoding process says."""
