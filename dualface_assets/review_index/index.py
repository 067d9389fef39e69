"""The index of all videos: a table with a row for each, made from the small records beside the pages.

Belongs here: reading the records and writing `index.html`. It is always made anew from what the folder holds, under a
lock, so that of two runs that end at once the later one shows both; and if it is deleted, the next run brings it back.
A lock is one host's. So where others may write, too, the records are read once more when the index is in its place, and
it is made again if there is anything new: whoever is the last to put it there has seen what all have made.
"""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dualface_assets.review_index.records import PAGE, RECORDS, THUMBNAIL, Entry, entries
from dualface_assets.store.files import LocalFiles
from dualface_assets.store.video_store import VideoStore
from dualface_core.review.templating import rendered

_TEMPLATES: Final = Path(__file__).with_name("templates")
INDEX_SCRIPT: Final = _TEMPLATES / "index.js"


def rebuild_index(store: VideoStore) -> Path:
    """Put `index.html` into the folder of all pages, made if it is not there. Gives its path.

    Raises OutputError, StoreError or PrivateFolderError.
    """
    folder = store.review_folder
    index = folder / PAGE
    with (store.private_folder("locks") / "index").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
        shown, found = None, _entries(store)
        while found != shown:
            LocalFiles(folder).write(index, _html(found).encode())
            store.files.share(index)
            shown, found = found, _entries(store) if store.is_remote else found
    return index


def _entries(store: VideoStore) -> list[Entry]:
    """All videos, the latest first."""
    keys = set(store.files.gather(store.review_folder, RECORDS))
    known = [entry for entry in entries(store.review_folder) if entry.key in keys]
    return sorted(known, key=lambda entry: (entry.when, entry.key), reverse=True)


def _html(found: list[Entry]) -> str:
    return rendered(
        "index.html",
        script=INDEX_SCRIPT.name,
        templates=_TEMPLATES,
        entries=found,
        made_at=datetime.now(UTC),
        failed=sum(entry.failure is not None and entry.page is None for entry in found),
        warned=sum(state(entry) == "warning" for entry in found),
        state=state,
        page=PAGE,
        thumbnail=THUMBNAIL,
    )


def state(entry: Entry) -> str:
    """How a video stands: "passed", "warning" or "error"."""
    if entry.page is None:
        return "error"
    return "warning" if entry.page.warnings or entry.failure else "passed"
