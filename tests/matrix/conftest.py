from __future__ import annotations

from functools import cache

import pytest

from dualface_core.faces import sface, yunet

_detector, _embedder = cache(yunet.FaceDetector), cache(sface.FaceEmbedder)


@pytest.fixture(autouse=True)
def networks_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe uses the same two networks; reading them takes as long as all the rest."""
    monkeypatch.setattr(yunet, "FaceDetector", _detector)
    monkeypatch.setattr(sface, "FaceEmbedder", _embedder)
