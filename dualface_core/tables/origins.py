"""Whether a video, its face tracks and its tile plan belong together, by the fingerprints that the tables carry.

Belongs here: what has to be compared before a step works on two of them. What a table's rows say is its own business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dualface_core.errors import TableFormatError
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan

_SHOWN: Final = 12
"""Hex digits of a SHA-256 in a message."""


def check_tracks(tracks: FaceTracks, video: Path, fingerprint: str) -> None:
    """Raise TableFormatError if the tracks were made from another file than `video`, whose SHA-256 is given."""
    _check_video(tracks, "the face tracks", tracks.metadata.fingerprint, video, fingerprint)


def check_plan(plan: TilePlan, video: Path, fingerprint: str, tracks: FaceTracks | None = None) -> None:
    """Raise TableFormatError if the plan was made from another video, or from other tracks, or is not whole.

    Args:
        plan: what each tile shows.
        video: the source.
        fingerprint: SHA-256 of its bytes, in hex.
        tracks: the tracks that the plan must have been made from; None if the step does not use them.
    """
    _check_video(plan, "the tile plan", plan.metadata.fingerprint, video, fingerprint)
    name, tiles = _name(plan, "the tile plan"), len(plan.layout.tiles)
    if plan.table.num_rows != plan.frame_count * tiles:
        raise TableFormatError(
            name,
            f"found {plan.table.num_rows} rows, expected {plan.frame_count} frames of {tiles} tiles",
            action=f"Plan {video.name} again.",
        )
    if tracks is None:
        return
    check_tracks(tracks, video, fingerprint)
    if plan.metadata.tracks_sha256 != tracks.sha256:
        raise TableFormatError(
            name,
            f"made from other face tracks ({plan.metadata.tracks_sha256[:_SHOWN]}) than {_name(tracks, 'those given')} "
            f"({tracks.sha256[:_SHOWN]})",
            action="Plan again, or name the tracks that it was made from.",
        )
    if plan.frame_count != tracks.frame_count:
        raise TableFormatError(
            name,
            f"found {plan.frame_count} frames, expected the {tracks.frame_count} of {_name(tracks, 'the face tracks')}",
            action=f"Plan {video.name} again.",
        )


def _check_video(table: FaceTracks | TilePlan, kind: str, made_from: str, video: Path, fingerprint: str) -> None:
    if made_from != fingerprint:
        raise TableFormatError(
            video,
            f"its SHA-256 is {fingerprint[:_SHOWN]}, but {_name(table, kind)} was made from another video "
            f"({made_from[:_SHOWN]})",
            action="Name the table of this video, or track and plan it again.",
        )


def _name(table: FaceTracks | TilePlan, kind: str) -> str:
    return kind if table.path is None else str(table.path)
