from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dualface_core.faces.attire import COLORS, attire
from dualface_core.faces.detector import FaceDetector


def test_people_are_like_themselves_at_another_time_and_unlike_one_another(
    detector: FaceDetector, images: NDArray[np.uint8]
) -> None:
    seen = []
    for image in images[[0, 5]]:
        (faces,) = detector.detect(image[None], score_threshold=0.5)
        seen.append([attire(image, box) for box in sorted(faces.boxes[:2], key=lambda box: float(box[0]))])
    before, after = np.array(seen)
    alike = before @ after.T
    assert np.diag(alike) == pytest.approx(1, abs=0.12)
    assert max(alike[0, 1], alike[1, 0]) < 0.85


def test_what_lies_outside_the_image_says_nothing() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    whole, low, away = (attire(image, np.float32([40, y, 20, 20])) for y in (30, 75, 300))
    assert np.linalg.norm(whole) == pytest.approx(1)
    assert np.linalg.norm(low) == pytest.approx(np.sqrt(0.5))
    assert away.tolist() == [0] * COLORS
