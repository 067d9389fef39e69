from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.faces.yunet_network import faces


def overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of one (4,) box with (N, 4) boxes, each x, y, width, height; (N,)."""
    shared = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    area = np.prod(np.maximum(shared, 0), axis=1)
    return area / (np.prod(box[2:]) + np.prod(others[:, 2:], axis=1) - area)


@given(count=st.integers(0, 30), seed=st.integers(0, 2**32 - 1), iou=st.floats(0, 1))
def test_suppression_keeps_the_best_of_every_overlapping_group(count: int, seed: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    scores, places, sizes = rng.random((count, 1)), rng.uniform(0, 100, (count, 2)), rng.uniform(1, 60, (count, 2))
    candidates = np.hstack([scores, places, sizes, np.zeros((count, 10))]).astype(np.float32)
    found = faces(candidates, iou)
    boxes, kept = (np.trunc(every).astype(np.float64) for every in (candidates[:, 1:5], found.boxes))
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    for place, box in enumerate(kept):
        assert np.all(overlap(box, kept[place + 1 :]) <= iou)
    for box, score in zip(boxes, candidates[:, 0], strict=True):
        better = (overlap(box, kept) > iou) & (found.scores >= score)
        assert score in found.scores or better.any()
