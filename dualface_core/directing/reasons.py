"""Why a scene is what it is, as a sentence with figures.

Belongs here: words. What they speak of was measured in `prospects`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.directing.prospects import PEOPLE, Choice, Prospects
from dualface_core.tables.labels import SceneKind

_CUT: Final = "would cut a caption, a pop-up or somebody else's face"


def reason(choice: Choice, prospects: Prospects, seconds: NDArray[np.float64]) -> str:
    """The reason for a choice.

    Args:
        choice: what is shown.
        prospects: what there was to be shown, in the frames of the scene.
        seconds: that each of them lasts.
    """
    total = max(float(seconds.sum()), 1e-9)

    def share(mask: NDArray[np.bool_]) -> float:
        return float(seconds[mask].sum()) / total

    distance = "" if np.isnan(prospects.distance).all() else f"{float(np.nanmin(prospects.distance)):.1f} face widths"
    match choice.kind:
        case SceneKind.SPLIT if distance:
            return f"Both are in view and can be shown apart: their faces are at least {distance} apart."
        case SceneKind.SPLIT:
            return "Nothing else would show more."
        case SceneKind.SOLO:
            person = PEOPLE[choice.cast[0]]
            others = {other: share(~there) for other, there in prospects.there.items() if other != person}
            other, gone = max(others.items(), key=lambda item: item[1], default=(None, 1.0))
            if gone >= 0.995 or other is None:
                return f"Only {person} is in view."
            return f"Only {person} is in view for {gone:.0%} of the time."
        case SceneKind.TOGETHER if (cut := share(prospects.would_cut(SceneKind.SPLIT))) > share(~prospects.apart):
            return f"Tiles of their own {_CUT} for {cut * total:.1f} s."
        case SceneKind.TOGETHER:
            doubled = share(~prospects.apart)
            when = "" if doubled >= 0.995 else f" for {doubled * total:.1f} s"
            return f"Their faces come within {distance}; each tile would show both{when}."
        case SceneKind.WHOLE:
            return _whole(prospects, share, total)


def _whole(prospects: Prospects, share: Callable[[NDArray[np.bool_]], float], total: float) -> str:
    crowd, names = prospects.crowd > 0, list(prospects.there)
    if share(~prospects.anyone) >= max(share(crowd), 0.5):
        return f"Neither {' nor '.join(names)} is in view." if len(names) > 1 else f"{names[0]} is not in view."
    if crowd.any():
        found = f"{int(prospects.crowd.max())} people are in view and none stands out"
        return f"{found}; the layout has tiles for {len(names)}."
    if (cut := share(prospects.would_cut(*SceneKind))) > share(~prospects.apart):
        return f"A closer view {_CUT} for {cut * total:.1f} s."
    return "No crop window holds both, and each tile would show both."
