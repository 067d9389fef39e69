"""Uploads out of a bucket: objects that others put below `DUALFACE_INBOX_URL`.

Belongs here: which objects are uploads, and how one leaves the bucket. An object store shows an object when all of it
has arrived, one that is sent in parts, too; so whatever is listed is complete, unless it is empty. It is copied into a
claim, and removed from the bucket only when the store has it (`remove_originals`): until then the copy is not the only
one, and the disk of this host may be lost.

A claim's name is made from the object's version. So lists that overlap, and a host that begins anew, arrive at the same
claim, which is the key of the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from dualface_assets.settings import REPROCESS
from dualface_assets.store.bucket import BucketObject
from dualface_assets.store.files import StoreError
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import Original, claims, new_claim, new_name, original_of, printable, upload_of
from dualface_assets.uploads.inbox import StabilityWindow, is_temporary
from dualface_assets.uploads.source import Copying, Scan, Source
from dualface_core.system.atomic_files import sync

_LATER: Final = "taken by a later tick"


class BucketInbox(Source[str, BucketObject]):
    """The bucket of a store that has one for uploads; nothing, of others.

    Each scan lists one page of a thousand objects, the next one where there are more, so that a tick costs one request
    however many there are; and none while there is no room for another claim.

    Args:
        stability: how long an empty object must have been left alone.
        clock: seconds since the epoch.
    """

    def __init__(self, stability: StabilityWindow, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._empty = stability.empty
        self._clock = clock
        self._after = ""
        self._empty_since: dict[BucketObject, float] = {}

    def preview(self, store: VideoStore) -> dict[str, str]:
        """The first page."""
        bucket = store.bucket
        found = bucket.page()[0] if bucket else []
        return {self._shown(store, each.key): _LATER for each in found if _is_upload(each.key)}

    def _scan(self, store: VideoStore, most: int) -> Scan[str, BucketObject]:
        bucket = store.bucket
        if bucket is None or not most:
            return Scan({}, {}, 0)
        try:
            page, more = bucket.page(self._after)
        except StoreError as error:
            return Scan({}, {"": f"uploads wait ({error})"}, 0)
        self._after = page[-1].key if more else ""
        uploads = [each for each in page if _is_upload(each.key) and not self._is_claimed(store, each)]
        waiting = {each.key: "empty so far" for each in self._empty_objects(uploads)}
        complete = sorted((each for each in uploads if each.key not in waiting), key=lambda each: each.size)
        return Scan({each.key: each for each in complete[:most]}, waiting, backlog=len(complete[most:]))

    def _is_claimed(self, store: VideoStore, found: BucketObject) -> bool:
        """Whether it is on its way already. Its copy goes on without being found anew."""
        return (store.claims_folder / _claim_of(found)).exists()

    def _empty_objects(self, uploads: list[BucketObject]) -> list[BucketObject]:
        """Those that have been empty for a moment only: some programs make an object before they have its content."""
        now = self._clock()
        self._empty_since = {each: min(self._empty_since.get(each, now), now) for each in uploads if not each.size}
        return [
            each for each, since in self._empty_since.items() if max(now - each.modified, now - since) < self._empty
        ]

    def _take(self, store: VideoStore, name: str, state: BucketObject, deadline: float) -> bool:
        bucket = store.bucket
        if bucket is None:
            self._stop_copying(name)
            return False
        if name not in self._copying:
            parts = PurePosixPath(name).parts
            claim = new_claim(
                store,
                parts[-1],
                reprocess=parts[0] == REPROCESS,
                claim=_claim_of(state),
                original=Original(bucket=bucket.url, found=state),
            )
            self._begin(store, name, Copying(claim, state, state.size, partial(bucket.opened, state)))
        copying = self._copying[name]
        if not copying.work.result(deadline):
            return False
        if (copying.claim / "data.part").stat().st_size != copying.size:
            raise StoreError(f"{bucket.url}/{name}", "not all of it has arrived", action="Look at the network.")
        del self._copying[name]
        (copying.claim / "data.part").rename(copying.claim / "data")
        sync(copying.claim)
        return True

    def _shown(self, store: VideoStore, name: str) -> str:
        return printable(f"{store.inbox_url}/{name}")


def remove_originals(store: VideoStore, deadline: float, waiting: dict[str, str]) -> None:
    """Remove from the bucket what the store has; note in `waiting` whose originals are still there, and why.

    Begins no more of them after the deadline (`time.monotonic`), but one at least.
    """
    bucket, begun = store.bucket, False
    for claim in claims(store):
        upload, original = upload_of(claim), original_of(claim)
        if upload is None or original is None or (claim / "data").exists():
            continue
        if begun and time.monotonic() > deadline:
            return
        begun = True
        try:
            if bucket is not None and bucket.url == original.bucket:  # or it is no bucket of ours any more
                bucket.remove(original.found)
        except StoreError as error:
            waiting[upload.name] = f"in the store; its run begins when its original can be removed ({error})"
            return  # the others' can't be, either
        (claim / "original.json").unlink()


def _claim_of(found: BucketObject) -> str:
    return new_name(datetime.fromtimestamp(found.modified, UTC), found.identity)


def _is_upload(key: str) -> bool:
    """Whether an object is none of those that only mark a folder, and is neither hidden nor temporary by its name."""
    if not key or key.endswith("/"):
        return False
    parts = PurePosixPath(key).parts
    return not any(is_temporary(part.lower()) for part in parts[parts[0] == REPROCESS :])
