from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from dualface_assets.review_index.records import entries, write_page
from dualface_core.review.page import PageContent, make_page

About = Callable[..., PageContent]


def test_a_published_page_is_known_to_the_index_and_complete(about: About, tmp_path: Path) -> None:
    described = about()
    page = make_page(described)
    write_page(page, described, tmp_path / "talk-0123456789")
    assert sorted(path.name for path in (tmp_path / "talk-0123456789").iterdir()) == [
        "index.html",
        "record.json",
        "thumbnail.jpg",
    ]
    (entry,) = entries(tmp_path)
    assert entry.page is not None
    assert (entry.page.made_at, entry.page.warnings) == (page.made_at, page.warnings)
    assert entry.has_thumbnail
    assert cv2.imdecode(np.frombuffer(page.thumbnail, np.uint8), cv2.IMREAD_COLOR).shape == (180, 320, 3)
