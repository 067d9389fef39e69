"""Uploads out of the inbox, a folder: by rename, or by a copy from another file system.

Belongs here: how a file leaves the folder, to which others may write at any moment. Which files are complete is the
business of `inbox`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Final
from uuid import uuid4

from dualface_assets.settings import REPROCESS
from dualface_assets.store.files import folder_below, reading
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import new_claim, printable
from dualface_assets.uploads.inbox import TAKEN, FileState, Inbox, files_in, has_writer
from dualface_assets.uploads.source import Copying, Scan, Source
from dualface_core.system.atomic_files import rename_without_overwriting, sync

_ASIDE_BYTES: Final = 200
"""Bytes at the end of a name that are kept while its file is put aside; a name has 255 at most."""

_ASIDE: Final = re.compile(rf"^{re.escape(TAKEN)}[0-9a-f]{{8}}-")


class Folder(Source[Path, FileState]):
    """The inbox.

    Args:
        inbox: decides which files are complete.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox

    def preview(self, store: VideoStore) -> dict[str, str]:
        """All files, without a close look at any."""
        waiting: dict[str, str] = {}
        for path, _ in files_in(store.inbox_folder, store.folder, waiting):
            waiting[path] = "taken by a later tick, when it is complete"
        return {self._shown(store, path): reason for path, reason in waiting.items()}

    def _scan(self, store: VideoStore, most: int) -> Scan[Path, FileState]:
        store.inbox_folder.mkdir(parents=True, exist_ok=True)
        return self._inbox.scan(store.inbox_folder, beside=store.folder, most=most)

    def _shown(self, store: VideoStore, name: str) -> str:
        return printable(name.removeprefix(f"{store.inbox_folder}{os.sep}"))

    def _take(self, store: VideoStore, name: Path, state: FileState, deadline: float) -> bool:
        with folder_below(store.inbox_folder, name.parent) as folder:
            if name not in self._copying:
                reprocess = name.is_relative_to(store.inbox_folder / REPROCESS)
                claim = new_claim(store, _ASIDE.sub("", name.name), reprocess=reprocess)
                data = claim / "data"
                try:
                    os.rename(name.name, data, src_dir_fd=folder)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    opened = partial(_opened, store.inbox_folder, name)
                    self._begin(store, name, Copying(claim, state, state.size, opened))
                else:
                    if FileState.of(data).same_content(state):
                        sync(claim)
                    else:  # another one, or something else, was put in its place since the scan
                        _put_back(str(data), name.name, folder)
                    return True
            copying = self._copying[name]
            if FileState.of(name.name, folder) == copying.state:
                if not copying.work.result(deadline):
                    return False
                if self._finish(copying, name, folder):
                    return True
        self._stop_copying(name)  # it has changed: the next scan finds it as if it were new
        return False

    def _finish(self, copying: Copying[FileState], path: Path, folder: int) -> bool:
        """Have a complete copy count as the upload, and remove the original. False if the original has changed."""
        # Under a name that no other program uses, so that what is removed is what was compared.
        aside = f"{TAKEN}{uuid4().hex[:8]}-{os.fsdecode(os.fsencode(path.name)[-_ASIDE_BYTES:])}"
        os.rename(path.name, aside, src_dir_fd=folder, dst_dir_fd=folder)
        try:
            unchanged = not has_writer(aside, folder) and FileState.of(aside, folder).same_content(copying.state)
        except OSError:
            unchanged = False
        if not unchanged:
            _put_back(aside, path.name, folder)
            return False
        del self._copying[path]
        (copying.claim / "data.part").rename(copying.claim / "data")
        sync(copying.claim)
        os.unlink(aside, dir_fd=folder)
        return True


@contextmanager
def _opened(inbox: Path, path: Path) -> Iterator[BufferedReader]:
    with folder_below(inbox, path.parent) as folder, reading(path.name, folder) as file:
        yield file


def _put_back(name: str, former: str, folder: int) -> None:
    """Give a file its former name in a folder of the inbox, or, if that is in use again, a new one."""
    try:
        rename_without_overwriting(name, former, folder=folder)
    except FileExistsError:
        rename_without_overwriting(name, f"{uuid4().hex}{Path(former).suffix}", folder=folder)
