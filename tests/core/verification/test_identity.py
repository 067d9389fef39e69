"""For how long a tile may show another person, or no face: judged on tiles of a right result, put in wrong order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dualface_core.faces.detector import FaceDetector
from dualface_core.faces.embedder import FaceEmbedder
from dualface_core.media.frames import Frame
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from dualface_core.settings import Settings
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.verification.expected import Sample, source_frames, tile_frame
from dualface_core.verification.findings import Check, Finding
from dualface_core.verification.identity import IdentityCheck, faces_in_tiles, faces_of_source
from tests.core.verification.results import Job

Tamper = Callable[[Sequence[Frame]], Sequence[Frame]]


def swapped(tiles: Sequence[Frame]) -> Sequence[Frame]:
    return tiles[::-1]


def faceless(tiles: Sequence[Frame]) -> Sequence[Frame]:
    y, u, v = (np.full_like(plane, 128) for plane in tiles[0].planes)
    return [Frame(0, 0, 0.0, (y, u, v), tiles[0].color), *tiles[1:]]


@pytest.fixture(scope="module")
def judged(good: Job) -> Callable[..., dict[tuple[Check, str], Finding]]:
    """Judges the tiles of the good result, shown slowly, some of them tampered with. Findings by check and tile."""
    settings = Settings()
    detector, embedder = FaceDetector(settings.detector_weights), FaceEmbedder(settings.embedder_weights)
    learned = [frame for _, frame in source_frames(good.video, Sample.of(good.plan, range(0, 30, 4)))]
    with VideoReader(probe(good.output)) as reader:
        shown = [[tile_frame(frame.planes, tile, frame.color) for tile in good.plan.tiles[0]] for frame in reader]

    def judge(tamper: Tamper, frames: range, *, frame_seconds: float) -> dict[tuple[Check, str], Finding]:
        slower = round(frame_seconds * 10)
        pts = [value * slower for value in good.tracks.metadata.frame_pts]
        tracks = FaceTracks(good.tracks.table, good.tracks.metadata.model_copy(update={"frame_pts": pts}))
        check = IdentityCheck(tracks, good.plan, embedder.embed)
        for frame in learned:
            check.learn(faces_of_source(check.wanted(frame.index), frame, detector))
        check.finish_learning()
        for number in sorted(check.frames):
            tiles = tamper(shown[number]) if number in frames else shown[number]
            check.look(faces_in_tiles(check.wanted(number), tiles, detector, embedder))
        findings = list(check.findings())
        return {
            (finding.check, tile): finding for finding in findings for tile in "AB" if f"ile {tile}" in finding.message
        }

    return judge


@pytest.mark.parametrize(
    ("frames", "frame_seconds", "error"),
    [
        (range(10, 11), 1, False),
        (range(10, 12), 1, True),
        (range(14, 16), 2, True),
    ],
    ids=["1 s", "2 s", "4 s of 60 s"],
)
def test_another_person_for_two_seconds_is_an_error(
    judged: Callable[..., dict[tuple[Check, str], Finding]], frames: range, frame_seconds: float, error: bool
) -> None:
    findings = judged(swapped, frames, frame_seconds=frame_seconds)
    begin, end = frames.start * frame_seconds, (frames.stop - 1) * frame_seconds
    for tile in "AB":
        finding = findings[Check.IDENTITY, tile]
        assert (finding.passed, finding.severity) == (not error, "error"), finding.message
        if error:
            assert f"{len(frames)} another's (from 0:{begin:04.1f} to 0:{end:04.1f})" in finding.message


@pytest.mark.parametrize(
    ("seconds", "passed", "severity"), [(1, True, "warning"), (3, False, "warning"), (6, False, "error")]
)
def test_a_missing_face_is_a_warning_from_2_s_and_an_error_from_5_s(
    judged: Callable[..., dict[tuple[Check, str], Finding]], seconds: int, passed: bool, severity: str
) -> None:
    findings = judged(faceless, range(10, 10 + seconds), frame_seconds=1)
    finding = findings[Check.FACE, "A"]
    assert (finding.passed, finding.severity) == (passed, severity), finding.message
    assert passed or f"It is missing from 0:10.0 to 0:{9 + seconds:02d}.0." in finding.message
    assert findings[Check.FACE, "B"].passed
    assert findings[Check.IDENTITY, "A"].passed


def test_of_a_right_result_one_face_in_two_seconds_is_embedded(
    judged: Callable[..., dict[tuple[Check, str], Finding]],
) -> None:
    findings = judged(swapped, range(0), frame_seconds=0.5)
    for tile in "AB":
        finding = findings[Check.IDENTITY, tile]
        embedded = int(finding.message.split()[1])
        assert 8 <= embedded <= 15, finding.message


@pytest.mark.parametrize(("frame_seconds", "embedded"), [(0.5, False), (2, True)])
def test_a_face_is_embedded_where_it_is_found_if_samples_are_so_far_apart_that_all_are(
    good: Job, frame_seconds: float, embedded: bool
) -> None:
    embedder = FaceEmbedder()
    pts = [value * round(frame_seconds * 10) for value in good.tracks.metadata.frame_pts]
    tracks = FaceTracks(good.tracks.table, good.tracks.metadata.model_copy(update={"frame_pts": pts}))
    check = IdentityCheck(tracks, good.plan, embedder.embed)
    number = min(check.frames)
    with VideoReader(probe(good.output)) as reader:
        frame = next(frame for frame in reader if frame.index == number)
    tiles = [tile_frame(frame.planes, tile, frame.color) for tile in good.plan.tiles[number]]
    faces = [due.face for due in faces_in_tiles(check.wanted(number), tiles, FaceDetector(), embedder).due]
    assert faces
    for face in faces:
        assert face is not None
        own = embedder.embed(face.crop[np.newaxis])[0]
        assert (face.embedding is not None) == embedded
        assert face.embedding is None or np.array_equal(face.embedding, own)
