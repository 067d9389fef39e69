"""A store whose disk is not mounted for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dualface_assets.store.video_store import VideoStore


@contextmanager
def unmounted(store: VideoStore) -> Iterator[None]:
    """Have the store look, for the length of the block, as it does while its disk is not mounted: an empty folder."""
    aside = store.folder.with_name("disk")
    store.folder.rename(aside)
    store.folder.mkdir()
    yield
    assert list(store.folder.iterdir()) == [], "something was written beside the disk"
    store.folder.rmdir()
    aside.rename(store.folder)
