"""What a rendering pass keeps of its spans, so that a job which is killed goes on where it was when it is run again.

Belongs here: the files of a kept folder (`system.kept_folders`), and whether they are what is wanted. The one idea: a
manifest says what the spans are parts of, to the last option and version; and a span counts once its record is there,
which comes last, names the manifest and the span's files, and has their checksums.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from dualface_core.media.encoder import Coding
from dualface_core.media.joining import EncodedSpan
from dualface_core.media.spans import Span
from dualface_core.system.atomic_files import output_error


class Manifest(BaseModel):
    """What finished spans are parts of.

    Attributes:
        source: SHA-256 of the source, in hex.
        plan: SHA-256 of the tile plan, in hex.
        coding: what they are coded with.
        spans: how the video is split.
        fingerprints: the form of those that the composed frames leave; None if they leave none.
        on_card: whether a card decodes and composes.
        versions: of what decides how a result looks.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    plan: str
    coding: Coding
    spans: list[Span]
    fingerprints: int | None
    on_card: bool
    versions: dict[str, str]

    @property
    def sha256(self) -> str:
        """In hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class FinishedSpan(BaseModel):
    """A span that is encoded, and where.

    Attributes:
        manifest: SHA-256 of the manifest that it belongs to, in hex.
        encoded: what is in the file of packets.
        packets: that file.
        fingerprints: the file of its frames' fingerprints; None if there is none.
        fingerprints_sha256: of that file, in hex.
    """

    model_config = ConfigDict(frozen=True)

    manifest: str
    encoded: EncodedSpan
    packets: Path
    fingerprints: Path | None
    fingerprints_sha256: str | None

    def is_whole(self) -> bool:
        """Whether its files are undamaged. Raises OSError where they cannot be read."""
        return self.encoded.is_in(self.packets) and _sha256(self.fingerprints) == self.fingerprints_sha256


@dataclass(frozen=True)
class SpanPlace:
    """Where a span leaves its files.

    Attributes:
        folder: the kept folder.
        number: of the span.
        manifest: SHA-256 of the manifest that it belongs to, in hex.
    """

    folder: Path
    number: int
    manifest: str

    def draft(self, suffix: str) -> Path:
        """A name for a new file. No two attempts at a span share one, so none gets into another's way."""
        return self.folder / f"{uuid4().hex}{suffix}"

    def finish(self, encoded: EncodedSpan, packets: Path, fingerprints: Path | None) -> FinishedSpan:
        """Have the span count, whose files are complete. Raises OutputError."""
        try:
            span = FinishedSpan(
                manifest=self.manifest,
                encoded=encoded,
                packets=packets,
                fingerprints=fingerprints,
                fingerprints_sha256=_sha256(fingerprints),
            )
            draft = self.draft(".json")
            draft.write_text(span.model_dump_json(), encoding="utf-8")
            draft.replace(self.record)
        except OSError as error:
            raise output_error(self.record, error) from error
        return span

    def finished(self) -> FinishedSpan | None:
        """The span that was made here before, if it is of this manifest and whole."""
        try:
            span = FinishedSpan.model_validate_json(self.record.read_bytes())
            return span if span.manifest == self.manifest and span.is_whole() else None
        except (OSError, ValidationError):
            return None

    @property
    def record(self) -> Path:
        """The file that says that the span is finished."""
        return self.folder / f"span-{self.number:05}.json"


def take_stock(folder: Path, manifest: Manifest) -> tuple[list[SpanPlace], dict[int, FinishedSpan]]:
    """Where each span of a manifest goes, and those that are there, by their number. All else in the folder is removed.

    Raises OutputError.
    """
    sha256 = manifest.sha256
    places = [SpanPlace(folder, number, sha256) for number in range(len(manifest.spans))]
    finished = {place.number: span for place in places if (span := place.finished())}
    wanted = {"lock"}
    for number, span in finished.items():
        wanted |= {path.name for path in (places[number].record, span.packets, span.fingerprints) if path}
    try:
        for path in folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)
        (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise output_error(folder, error) from error
    return places, finished


def _sha256(path: Path | None) -> str | None:
    """Of a file, in hex; None for no file. Raises OSError."""
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
