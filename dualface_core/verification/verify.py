"""Decodes a result again, from the first frame to the last, and says whether it is right.

Belongs here: the order of the checks; what each looks at is in the modules beside this one. The one idea: nothing
that an encoder says about its work counts, only what can be read back. Importing this module is cheap.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dualface_core.errors import InputError
from dualface_core.verification.findings import Check, Finding, Verification

if TYPE_CHECKING:
    from dualface_core.media.probe import VideoInfo
    from dualface_core.settings import Settings
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.tile_plan import TilePlan
    from dualface_core.verification.expected import Source, Thumbnail
    from dualface_core.verification.identity import IdentityCheck

__all__ = ["Check", "Finding", "Verification", "verify_output"]

_SOURCE_FRAMES: Final = 24
"""Frames that are compared with the source, however long it is."""

_MOST_WAITING: Final = 8
"""Pictures that wait to be searched for faces; more would only take memory."""


def verify_output(
    output: Path,
    *,
    video: VideoInfo,
    tracks: FaceTracks,
    plan: TilePlan,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Say whether a result is what the plan makes of the source.

    The result is decoded once in full; of the source, only frames that are cheap to reach are decoded. Memory does not
    grow with the length.

    Args:
        output: the result.
        video: the source.
        tracks: who is where in it.
        plan: what each tile shows.
        settings: where the model files are.
        progress: called after every frame with the frames done and those in all.

    Returns:
        Findings, each with a figure. Where the result cannot be read to its end, that is the only one.

    Raises:
        UnreadableVideoError: the source cannot be read.
        ModelError: a model file is missing or wrong.
        Nothing for a wrong result: that is a finding.
    """
    from dualface_core.media.probe import probe
    from dualface_core.verification.streams import audio_findings, stream_findings, timing_findings

    layout = plan.layout
    planned = [pts * plan.metadata.seconds_per_pts for pts in plan.pts.tolist()]
    try:
        result = probe(output)
        streams = [*stream_findings(result, video, layout), *audio_findings(result, video)]
        if (result.width, result.height) != (layout.width, layout.height):
            # No tile is where it should be, so nothing can be said about tiles.
            return Verification(findings=streams)
        shown, pictures = _look(result, video, tracks, plan, planned, settings, progress)
    except InputError as error:
        if Path(error.path) != output:
            raise
        return Verification(findings=[_readable(passed=False, value=None, message=str(error))])
    readable = _readable(
        passed=True, value=len(shown), message=f"All {len(shown)} frames of the result could be decoded."
    )
    return Verification(findings=[readable, *timing_findings(shown, planned), *streams, *pictures])


def _look(
    result: VideoInfo,
    video: VideoInfo,
    tracks: FaceTracks,
    plan: TilePlan,
    planned: Sequence[Fraction],
    settings: Settings,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Fraction], list[Finding]]:
    """Decode the result. Returns when each frame is shown, in seconds, and the findings about pictures."""
    from dualface_core.faces.sface import FaceEmbedder
    from dualface_core.faces.yunet import FaceDetector
    from dualface_core.media.reader import VideoReader
    from dualface_core.verification.black_and_freeze import (
        BlackAndFreezeDetector,
        SimilarityCheck,
        black_and_freeze_findings,
    )
    from dualface_core.verification.expected import Source, tile_frame
    from dualface_core.verification.identity import IdentityCheck

    tiles = plan.layout.tiles
    people = IdentityCheck(
        tiles,
        tracks,
        plan,
        FaceDetector(settings.detector_weights),
        FaceEmbedder(settings.embedder_weights),
    )
    source = Source(video, plan)
    compared = source.cheap_frames(_SOURCE_FRAMES)
    similarities = [SimilarityCheck(tile, frozenset(compared)) for tile in tiles]
    watches = [BlackAndFreezeDetector(tile, result.color) for tile in tiles]
    shown: list[Fraction] = []
    # Faces are looked for in a thread of its own, in the source and in the result, while the result is decoded.
    with ThreadPoolExecutor(1, "source") as beside, VideoReader(result) as reader:
        learning = beside.submit(_learn, source, compared, people, len(tiles))
        looks: deque[Future[None]] = deque()
        for frame in reader:
            shown.append(frame.pts * result.time_base)
            number = _nearest(planned, shown[-1], frame.index)
            pictures = [tile_frame(frame.planes, tile, result.color) for tile in tiles]
            for watch, ssim, picture in zip(watches, similarities, pictures, strict=True):
                watch.look(number, frame.time, picture)
                ssim.look(number, picture)
            if number in people.frames:
                looks.append(beside.submit(people.look, number, pictures))
                if len(looks) > _MOST_WAITING:
                    looks.popleft().result()
            if progress is not None:
                progress(frame.index + 1, len(planned))
        expected = learning.result()
        for look in looks:
            look.result()
    for watch in watches:
        watch.finish(float(result.first_pts * result.time_base) + result.duration)
    findings = [finding for ssim, there in zip(similarities, expected, strict=True) for finding in ssim.findings(there)]
    return shown, [*black_and_freeze_findings(watches, source), *findings, *people.findings()]


def _learn(source: Source, numbers: Sequence[int], people: IdentityCheck, tiles: int) -> list[dict[int, Thumbnail]]:
    """Look at frames of the source: who is there, and, for each tile, what it should show in which frame."""
    from dualface_core.verification.expected import Thumbnail

    expected: list[dict[int, Thumbnail]] = [{} for _ in range(tiles)]
    for there in source.render(numbers):
        for thumbnails, picture in zip(expected, there.tiles, strict=True):
            thumbnails[there.frame.index] = Thumbnail.of(picture)
        people.learn(there.frame)
    people.finish_learning(source)
    return expected


def _nearest(planned: Sequence[Fraction], time: Fraction, guess: int) -> int:
    """The number of the planned frame that is nearest in time, so that a lost frame doesn't put off all that follow."""
    if guess < len(planned) and planned[guess] == time:
        return guess
    after = bisect_left(planned, time)
    return min((n for n in (after - 1, after) if 0 <= n < len(planned)), key=lambda n: abs(planned[n] - time))


def _readable(*, passed: bool, value: int | None, message: str) -> Finding:
    return Finding(
        check=Check.READABLE, passed=passed, value=value, expected="a video that decodes to its end", message=message
    )
