"""How the cameras move, against a follow of the same faces with a one-euro filter.

Belongs here: jerk and steps as a viewer sees them, in widths of the tile, only while a tile stays where it is and shows
the same subject in the same shot.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.directing.parameters import Direction
from dualface_core.directing.transitions import glides
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.tile_plan import TilePlan

Signal = NDArray[np.float64]

_SLOWEST: Final = 1.0
"""Hz: the cutoff of the one-euro filter for somebody who keeps still, as its authors begin with (Casiez, Roussel and
Vogel, "1 € Filter", 2012)."""
_FASTER: Final = 0.5
"""Hz by which the cutoff rises with each tile width a second."""
_SPEED_CUTOFF: Final = 1.0
"""Hz: the cutoff of the speed itself."""


@dataclass(frozen=True)
class Motion:
    """How the cameras of a plan move.

    Attributes:
        jerk: root mean square of the crop windows' jerk, tile widths/s3.
        followed: the same of a one-euro follow of the faces.
        step: the largest movement of a crop window's edge from one frame to the next, in tile widths.
        step_at: when that is, in seconds.
    """

    jerk: float
    followed: float
    step: float
    step_at: float


def motion(plan: TilePlan, tracks: FaceTracks) -> Motion:
    """Measure the cameras of a plan."""
    windows, times = plan.crop_windows.astype(np.float64), tracks.times
    jerks: list[Signal] = []
    followed: list[Signal] = []
    step, step_at = 0.0, 0.0
    for slot, span in still_runs(plan, tracks):
        window, at = windows[span, slot], times[span]
        edges = np.concatenate([window[:, :2] - window[:, 2:] / 2, window[:, :2] + window[:, 2:] / 2], axis=1)
        steps = np.abs(np.diff(edges, axis=0)).max(axis=1) / window[1:, 2]
        if len(steps) and steps.max() > step:
            step, step_at = float(steps.max()), float(at[1:][steps.argmax()])
        target = _faces(tracks, Subject(str(plan.subjects[span.start, slot])))[span]
        there = ~np.isnan(target[:, 0])
        if there.sum() > 4:
            width = float(np.median(window[there, 2]))
            scaled = [values[there] / width for values in (window[:, :2], target)]
            jerks.append(_jerk(scaled[0], at[there]))
            followed.append(_jerk(one_euro(scaled[1], at[there]), at[there]))
    return Motion(_rms(jerks), _rms(followed), step, step_at)


def still_runs(plan: TilePlan, tracks: FaceTracks) -> list[tuple[int, slice]]:
    """Slot and frames of each stretch in which a tile is drawn, rests, and shows one subject in one shot and scene.

    Where one scene becomes another, no tile rests.
    """
    begins = {part.first for parts in (tracks.shots, plan.scenes) for part in parts}
    gliding = np.zeros(plan.frame_count, bool)
    for glide in glides(plan.scenes, tracks, Direction.model_validate(plan.metadata.direction)):
        gliding[glide.frames] = True
    runs = []
    for slot in range(plan.drawn.shape[1]):
        changed = (np.diff(plan.tiles[:, slot], axis=0) != 0).any(axis=1)
        changed |= (plan.subjects[1:, slot] != plan.subjects[:-1, slot]) | (gliding[1:] != gliding[:-1])
        edges = sorted({0, plan.frame_count, *begins, *(np.flatnonzero(changed) + 1).tolist()})
        runs += [(slot, slice(a, b)) for a, b in pairwise(edges) if plan.drawn[a, slot] and not gliding[a]]
    return runs


def one_euro(values: Signal, times: Signal) -> Signal:
    """The filter over (samples, axes)."""
    filtered = np.array(values)
    speed = np.zeros(values.shape[1])
    for index in range(1, len(values)):
        step = max(times[index] - times[index - 1], 1e-6)
        speed += _weight(_SPEED_CUTOFF, step) * ((values[index] - values[index - 1]) / step - speed)
        cutoff = _SLOWEST + _FASTER * float(np.hypot(*speed))
        filtered[index] = filtered[index - 1] + _weight(cutoff, step) * (values[index] - filtered[index - 1])
    return filtered


def _weight(cutoff: float, step: float) -> float:
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


def _faces(tracks: FaceTracks, subject: Subject) -> Signal:
    """The middle of the faces of a subject: (frames, 2), NaN where they are not all seen."""
    boxes = [tracks.boxes(person) for person in Person if person in subject.people]
    if not boxes:
        return np.full((tracks.frame_count, 2), np.nan)
    return np.asarray(np.mean([box[:, :2] + box[:, 2:] / 2 for box in boxes], axis=0))


def _jerk(values: Signal, times: Signal) -> Signal:
    for _ in range(3):
        values = np.diff(values, axis=0) / np.diff(times)[:, None]
        times = (times[1:] + times[:-1]) / 2
    return np.asarray(np.hypot(*values.T))


def _rms(parts: list[Signal]) -> float:
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
