from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dualface_assets.store.video_store import VideoStore
from dualface_core import pipeline

KEY = "talk-0123456789"


def test_a_result_that_the_run_has_published_is_probed_again_only_if_it_is_another_file(
    store: VideoStore, sample_clip: Callable[..., Path]
) -> None:
    result = store.result_path(KEY)
    result.parent.mkdir(parents=True)
    shutil.copyfile(sample_clip("talk", seconds=2), result)
    found = pipeline.probe(result)
    assert store.result_info(KEY) == found
    noted = replace(found, bit_rate=1)
    store.note_result(replace(noted, path=Path("elsewhere.mp4")))
    assert store.result_info(KEY) == noted
    with result.open("ab") as file:
        file.write(b"\0\0\0\x08free")  # of MP4: a box that says nothing
    assert store.result_info(KEY) == pipeline.probe(result) != noted
