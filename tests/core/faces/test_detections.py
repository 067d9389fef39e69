from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.faces.detections import Detections, intersection_over_union, nms


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    count = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    boxes = np.hstack([rng.uniform(0, 100, (count, 2)), rng.uniform(1, 60, (count, 2))])
    return boxes.astype(np.float32), rng.random(count, np.float32)


@given(boxes_and_scores=scored_boxes(), iou=st.floats(0, 1))
def test_suppression_keeps_the_best_of_every_overlapping_group(
    boxes_and_scores: tuple[NDArray[np.float32], NDArray[np.float32]], iou: float
) -> None:
    boxes, scores = boxes_and_scores
    keep = nms(boxes, scores, iou)
    assert list(scores[keep]) == sorted(scores[keep], reverse=True)
    for position, index in enumerate(keep):
        assert np.all(intersection_over_union(boxes[index], boxes[keep[position + 1 :]]) <= iou)
    for index in set(range(len(boxes))) - set(keep.tolist()):
        overlaps = intersection_over_union(boxes[index], boxes[keep])
        assert np.any((overlaps > iou) & (scores[keep] >= scores[index]))


def test_scaled_detections_lie_where_the_faces_are_in_the_larger_picture() -> None:
    faces = Detections(np.float32([[10, 20, 30, 40]]), np.full((1, 5, 2), 2, np.float32), np.float32([0.9]))
    scaled = faces.scaled(2, 3)
    assert scaled.boxes.tolist() == [[20, 60, 60, 120]]
    assert scaled.landmarks[0].tolist() == [[4, 6]] * 5
    assert scaled.boxes.dtype == scaled.landmarks.dtype == np.float32
