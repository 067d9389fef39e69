from __future__ import annotations

import numpy as np

from dualface_core.faces.detections import Detections


def test_scaled_detections_lie_where_the_faces_are_in_the_larger_picture() -> None:
    faces = Detections(np.float32([[10, 20, 30, 40]]), np.full((1, 5, 2), 2, np.float32), np.float32([0.9]))
    scaled = faces.scaled(2, 3)
    assert scaled.boxes.tolist() == [[20, 60, 60, 120]]
    assert scaled.landmarks[0].tolist() == [[4, 6]] * 5
    assert scaled.boxes.dtype == scaled.landmarks.dtype == np.float32
