"""Decodes a result again, from the first frame to the last, and says whether it is right.

Belongs here: the order of the checks; each has a module beside this one. The one idea: nothing
that an encoder says about its work counts, only what can be read back. Importing this module is cheap.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dualface_core.errors import InputError
from dualface_core.verification.findings import Check, Finding, Verification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dualface_core.media.probe import VideoInfo
    from dualface_core.settings import Settings
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.tile_plan import TilePlan
    from dualface_core.verification.canvas import CanvasCheck
    from dualface_core.verification.expected import CropCheck, Source
    from dualface_core.verification.identity import IdentityCheck

__all__ = ["Check", "Finding", "Verification", "verify_output"]

_SOURCE_FRAMES: Final = 24
"""Frames that are compared with the source itself, however long it is; and as many more, where scenes have none."""

_MOST_WAITING: Final = 8
"""Frames that wait to be searched for faces; more would only take memory."""


def verify_output(
    output: Path,
    *,
    video: VideoInfo,
    tracks: FaceTracks,
    plan: TilePlan,
    settings: Settings,
    fingerprints: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Say whether a result is what the plan makes of the source.

    The result is decoded once in full, and every frame of it is compared with the fingerprint that the composed frame
    left. Of the source, only frames that are cheap to reach are decoded; without fingerprints it is decoded in full and
    composed anew. Memory does not grow with the length.

    Args:
        output: the result.
        video: the source.
        tracks: who is where in it.
        plan: what each tile shows.
        settings: where the model files are.
        fingerprints: those that the composed frames left when the result was rendered; None to compose them anew.
        progress: called after every frame with the frames done and those in all.

    Returns:
        Findings, each with a figure. Where the result cannot be read to its end, that is the only one.

    Raises:
        UnreadableVideoError: the source cannot be read.
        MissingInputError, TableFormatError: the fingerprints are gone, or not those of this plan.
        ModelError: a model file is missing or wrong.
        Nothing for a wrong result: that is a finding.
    """
    from dualface_core.media.probe import probe
    from dualface_core.verification.streams import (
        audio_findings,
        metadata_finding,
        stream_findings,
        timing_findings,
    )

    layout = plan.layout
    planned = [pts * plan.metadata.seconds_per_pts for pts in plan.pts.tolist()]
    try:
        result = probe(output, settings.limits)
        streams = [
            *stream_findings(result, video, layout),
            *audio_findings(result, video),
            metadata_finding(result, video),
        ]
        if (result.width, result.height) != (layout.width, layout.height):
            # No tile is where it should be, so nothing can be said about tiles.
            return Verification(findings=streams)
        with _composed(video, plan, fingerprints) as composed:
            shown, tiles = _compared(result, video, tracks, plan, planned, composed, settings, progress)
    except InputError as error:
        if Path(error.path) != output:
            raise
        return Verification(findings=[_readable(passed=False, value=None, message=str(error))])
    message = f"All {len(shown)} frames of the result could be decoded."
    if lost := sum(end - begin for begin, end in tracks.metadata.lost):
        message += f" Those of {lost:.2f} s are held ones, as the source is damaged there."
    readable = _readable(passed=True, value=len(shown), message=message)
    return Verification(findings=[readable, *timing_findings(shown, planned), *streams, *tiles])


@contextmanager
def _composed(video: VideoInfo, plan: TilePlan, fingerprints: Path | None) -> Iterator[NDArray[np.uint8]]:
    """The fingerprints of all composed frames: (frames, samples)."""
    from dualface_core.compositing.composed import composed_frames
    from dualface_core.verification.fingerprints import FingerprintWriter, read_fingerprints

    layout = plan.layout
    with ExitStack() as stack:
        if fingerprints is None:
            fingerprints = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "fingerprints"
            with FingerprintWriter(fingerprints, layout) as writer:
                for surface, _ in composed_frames(video, plan):
                    writer.add(surface.planes)
        yield read_fingerprints(fingerprints, layout, plan.metadata.frame_count)


def _compared(
    result: VideoInfo,
    video: VideoInfo,
    tracks: FaceTracks,
    plan: TilePlan,
    planned: Sequence[Fraction],
    composed: NDArray[np.uint8],
    settings: Settings,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Fraction], list[Finding]]:
    """Decode the result. Returns when each frame is shown, in seconds, and the findings about tiles."""
    from dualface_core.faces.sface import FaceEmbedder
    from dualface_core.faces.yunet import FaceDetector
    from dualface_core.media.reader import VideoReader
    from dualface_core.verification.canvas import CanvasCheck
    from dualface_core.verification.comparison import RegionComparison
    from dualface_core.verification.expected import CropCheck, Source, tile_frame
    from dualface_core.verification.fingerprints import region_fingerprints
    from dualface_core.verification.identity import IdentityCheck

    tiles, drawn = plan.tiles, plan.drawn
    detector, embedder = FaceDetector(settings.detector_weights), FaceEmbedder(settings.embedder_weights)
    people = IdentityCheck(tracks, plan, detector, embedder)
    source = Source(video, plan)
    sampled = source.sampled_frames(_SOURCE_FRAMES)
    canvas = CanvasCheck(tracks, plan)
    times = [*map(float, planned), float(result.first_pts * result.time_base) + result.duration]
    parts = region_fingerprints(plan.layout)
    crops = [CropCheck(tile.subject, parts, sampled, composed, times) for tile in plan.layout.tiles]
    comparisons = [RegionComparison(part, composed, times, result.color) for part in parts]
    shown: list[Fraction] = []
    # Faces are searched for in a thread of its own, in the source and in the result, while the result is decoded.
    with ThreadPoolExecutor(1, "source") as beside, VideoReader(result) as reader:
        learning = beside.submit(_learn, source, plan, sampled, people, crops, canvas)
        searches: deque[Future[None]] = deque()
        for frame in reader:
            shown.append(frame.pts * result.time_base)
            number = _nearest(planned, shown[-1], frame.index)
            for comparison in comparisons:
                comparison.look(number, frame.time, frame.planes)
            if number in people.frames or number in sampled:
                shown_tiles = [
                    tile_frame(frame.planes, tile, result.color) if is_drawn else None
                    for tile, is_drawn in zip(tiles[number], drawn[number], strict=True)
                ]
                if number in sampled:
                    canvas.look(number, frame)
                for crop, tile in zip(crops, shown_tiles, strict=True):
                    if tile is not None:
                        crop.look(number, frame.time, tile)
                searches.append(beside.submit(people.look, number, shown_tiles))
                if len(searches) > _MOST_WAITING:
                    searches.popleft().result()
            if progress is not None:
                progress(frame.index + 1, len(planned))
        learning.result()
        for search in searches:
            search.result()
    findings: list[Finding] = []
    for comparison in comparisons:
        comparison.finish()
        findings += comparison.findings()
    for crop in crops:
        findings += crop.findings()
    return shown, [*findings, *canvas.findings(), *people.findings()]


def _learn(
    source: Source,
    plan: TilePlan,
    numbers: Sequence[int],
    people: IdentityCheck,
    crops: Sequence[CropCheck],
    beside: CanvasCheck,
) -> None:
    """Sample the source: who is there, what each tile should show of it, and what the compositor makes of it."""
    for frame in source.frames(numbers):
        canvas = source.composed(frame)
        for slot, (crop, tile) in enumerate(zip(crops, plan.tiles[frame.index], strict=True)):
            if tile[2]:
                wanted, enlargement = source.tile_planes(frame, slot, canvas), source.enlargement(frame.index, slot)
                crop.learn(frame.index, tile, wanted, canvas, enlargement)
        people.learn(frame)
        beside.learn(frame)
    people.finish_learning(source)


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
