"""The index of all videos: a table with a row for each, made from the small records beside the pages.

Belongs here: reading the records and writing `index.html`. It is always made anew from what the folder holds, under a
lock, so that of two runs that end at once the later one shows both; and if it is deleted, the next run brings it back.
Of two hosts that make it at once one may miss what the other has just made, until the next run.
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
    """Write `index.html` into the folder of all pages, made if it is not there. Gives its path.

    Raises OutputError or PrivateFolderError.
    """
    folder = store.review_folder
    index = folder / PAGE
    with (store.private_folder("locks") / "index").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
        keys = set(store.files.gather(folder, RECORDS))
        known = [entry for entry in entries(folder) if entry.key in keys]
        found = sorted(known, key=lambda entry: (entry.when, entry.key), reverse=True)
        LocalFiles(folder).write(index, _html(found).encode())
    return index


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
