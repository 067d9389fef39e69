"""Advisories: what a person should know of a result although it is right. Each is a figure, a limit and a sentence.

Belongs here: the limits, by name and with their source, and the sentences. An advisory never stops anything; what must
not be published is found by `verify`. Command, asset checks and review page say the same, since all ask here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from dualface_core.camera.parameters import CameraParameters
from dualface_core.tables.labels import Person
from dualface_core.verification.findings import clock

if TYPE_CHECKING:
    from dualface_core.tables.face_tracks import FaceTracks
    from dualface_core.tables.tile_plan import TilePlan

SHORTEST_DOUBT: Final = 0.5
"""Seconds for which a name must be unsure before a person should check; less is a glance, or a false detection (as
`tracking.identities` has it)."""

LEAST_IN_TILE: Final = 0.97
"""Share of the frames with a known face in which its tile must show it whole: what `benchmarks/accuracy.py` asks for in
its hardest scene, where two people pass in front of one another."""

_ROUNDING: Final = 0.01
"""Of an enlargement: crop windows have single precision and an aspect in whole pixels."""


class AdvisoryName(StrEnum):
    """What an advisory is about; also the name of its asset check."""

    IDENTITY_MARGIN = "identity_margin"
    FACES_IN_TILES = "faces_in_tiles"
    UPSCALING = "upscaling"
    ENCODER = "encoder"
    SOURCE = "source"


class Advisory(BaseModel):
    """One thing that was judged.

    Attributes:
        name: what was judged.
        passed: whether there is nothing to worry about.
        message: what was found, as a plain sentence.
        action: what a person can do about it; empty if there is nothing to worry about.
        figures: the numbers behind it, the limit among them.
    """

    model_config = ConfigDict(frozen=True)

    name: AdvisoryName
    passed: bool
    message: str
    action: str = ""
    figures: Mapping[str, float]


def warnings(advisories: Iterable[Advisory]) -> list[str]:
    """What was found and what to do about it, of those that did not pass."""
    return [f"{advisory.message} {advisory.action}" for advisory in advisories if not advisory.passed]


def table_advisories(tracks: FaceTracks, plan: TilePlan) -> list[Advisory]:
    """All that follow from the tables, passed ones too."""
    return [identity_advisory(tracks), framing_advisory(tracks, plan), enlargement_advisory(plan)]


def source_advisory(notes: Sequence[str]) -> Advisory:
    """What of the source is changed, dropped or repaired in the result.

    Args:
        notes: a sentence for each, from `VideoInfo.notes` and the metadata of the tracks.
    """
    return Advisory(
        name=AdvisoryName.SOURCE,
        passed=not notes,
        message=" ".join(notes) or "All of the source that a result can hold is in it, as it was.",
        action="" if not notes else "If that is not wanted, export the source again so that it needs none of this.",
        figures={"changes": len(notes)},
    )


def identity_advisory(tracks: FaceTracks) -> Advisory:
    """Whether it is clear everywhere who is A, who is B and who is neither."""
    from dualface_core.advice.timeline_events import LEAST_MARGIN, unsure_events  # with Arrow

    smallest = tracks.smallest_margin
    name = AdvisoryName.IDENTITY_MARGIN
    if smallest is None:
        message = "No face has a name that could be wrong."
        return Advisory(name=name, passed=True, message=message, figures={"least allowed margin": LEAST_MARGIN})
    doubts = [event for event in unsure_events(tracks) if event.end - event.start >= SHORTEST_DOUBT]
    figures = {
        "smallest margin": smallest,
        "least allowed margin": LEAST_MARGIN,
        "unsure tracklets": len(doubts),
        "unsure (s)": sum(event.end - event.start for event in doubts),
    }
    if not doubts:
        message = "It is clear everywhere who is A and who is B."
        return Advisory(name=name, passed=True, message=message, figures=figures)
    least = min(doubts, key=lambda event: event.margin or 0.0)
    return Advisory(
        name=name,
        passed=False,
        message=f"In {len(doubts)} {'place' if len(doubts) == 1 else 'places'} it is not clear who is A, who is B "
        f"and who is neither, least of all from {clock(least.start)} to {clock(least.end)}.",
        action="Look at these places in the result. If a tile shows the wrong person there, film or upload a version "
        "in which both faces can be seen from the front.",
        figures=figures,
    )


def framing_advisory(tracks: FaceTracks, plan: TilePlan) -> Advisory:
    """Whether the tiles that are to show a person show the whole face, where it is known."""
    crop_windows = plan.crop_windows.astype(np.float64)
    shares: dict[Person, float] = {}
    for person in tracks.people:
        boxes, showing = tracks.boxes(person), plan.showing(person)
        known = showing.any(axis=1) & ~np.isnan(boxes[:, 0])
        if not known.any():
            continue
        frame = plan.metadata.frame_size
        corner = np.clip(boxes[:, :2], 0, frame)[:, None]  # of a face at the frame's edge, no tile can show more
        opposite = np.clip(boxes[:, :2] + boxes[:, 2:], 0, frame)[:, None]
        center, half = crop_windows[..., :2], crop_windows[..., 2:] / 2
        inside = ((corner >= center - half - 0.5) & (opposite <= center + half + 0.5)).all(axis=2)
        shares[person] = float((inside & showing)[known].any(axis=1).mean())
    figures = {f"{person}: face in its tile (%)": 100 * share for person, share in shares.items()}
    worst, share = min(shares.items(), key=lambda item: item[1], default=(None, 1.0))
    passed = share >= LEAST_IN_TILE
    return Advisory(
        name=AdvisoryName.FACES_IN_TILES,
        passed=passed,
        message="The tiles show every face that is there."
        if passed
        else f"Tile {worst} does not show the whole face of its person in {1 - share:.1%} of the frames "
        "in which they can be seen.",
        action=""
        if passed
        else "Look at the places where the tile holds or goes wide. The person moves too fast, is too near, or appears "
        "too briefly to be followed calmly; another layout may suit this video better.",
        figures={**figures, "least allowed (%)": 100 * LEAST_IN_TILE},
    )


def enlargement_advisory(plan: TilePlan) -> Advisory:
    """Whether a tile enlarges the source so much that it looks soft."""
    limit = CameraParameters.model_validate(plan.metadata.camera).max_upscale
    largest = plan.largest_enlargements
    worst = max(largest, key=lambda subject: largest[subject])
    passed = largest[worst] <= limit * (1 + _ROUNDING)
    size = f"{plan.metadata.frame_width}x{plan.metadata.frame_height}"
    return Advisory(
        name=AdvisoryName.UPSCALING,
        passed=passed,
        message=f"{worst.tile[0].upper()}{worst.tile[1:]} enlarges the source {largest[worst]:.1f} times at most"
        + (", which stays sharp." if passed else f"; the source has {size} pixels only, and the tile looks soft."),
        action="" if passed else "Upload the video in a higher resolution, if there is one.",
        figures={**{f"{subject}: largest enlargement": of for subject, of in largest.items()}, "most allowed": limit},
    )


def encoder_advisory(*, used: str, why: str | None, fallback: bool) -> Advisory:
    """Whether software had to do what NVENC should have done.

    Args:
        used: FFmpeg's name of the encoder that made the result.
        why: why it was that one.
        fallback: whether NVENC should have done it (`EncodeReport.fallback`).
    """
    if not fallback:
        message = f"{used} encoded it. {why or ''}".strip()
        return Advisory(name=AdvisoryName.ENCODER, passed=True, message=message, figures={"fallback": 0})
    return Advisory(
        name=AdvisoryName.ENCODER,
        passed=False,
        message=f"Software ({used}) encoded it in place of NVENC. {why or ''}".strip(),
        action="The result is right, and took longer. Run `dualface gpu` on the machine: it says what the card can do "
        "and who uses its sessions.",
        figures={"fallback": 1},
    )
