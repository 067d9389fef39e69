"""Fingerprints that the kernel takes, on a processor; on a card, too, where there is one."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dualface_core.media.cuda_frames import Canvas
from dualface_core.media.frames import Planes
from dualface_core.tables.layouts import Layout
from dualface_core.verification.card_fingerprints import CardFingerprints, made_fingerprint
from dualface_core.verification.fingerprints import fingerprint, region_fingerprints
from tests.core.compositing.emulated_card import AnyCard


def taken_by(card: AnyCard, planes: Planes, *, apart: int) -> NDArray[np.uint8]:
    """The fingerprint of planes whose rows are apart, U and V in turn or not, in memory that isn't zero before."""
    height, width = planes[0].shape
    parts = region_fingerprints(Layout("any", width, height, ()))
    chroma = [np.stack(planes[1:], axis=-1).reshape(height // 2, -1)] if apart == 2 else planes[1:]
    kept = [card.upload(np.pad(plane, ((0, 1), (0, 5)))) for plane in (planes[0], *chroma)]
    addresses = [memory.address for memory in kept]
    if apart == 2:
        addresses.append(addresses[1] + 1)
    pitches = width + 5, *(2 * [width // 2 * apart + 5])
    prints = CardFingerprints(card, parts)  # type: ignore[arg-type]  # emulated
    made = card.locked(prints.size)
    made[:] = 201
    prints.start(Canvas(tuple(addresses), pitches, apart), made)
    card.finish()
    return made_fingerprint(made, parts)


def drawn(width: int, height: int, seed: int, contrast: int, noise: float) -> Planes:
    """Planes with flat parts, steep edges, and noise, both in levels."""
    random = np.random.default_rng(seed)
    planes = []
    for scale in (1, 2, 2):
        rows, columns = height // scale, width // scale
        blocks = (
            random.integers(0, contrast + 1, (rows // 17 + 1, columns // 13 + 1)).repeat(17, axis=0).repeat(13, axis=1)
        )
        plane = 128 - contrast // 2 + blocks[:rows, :columns] + random.normal(0, noise, (rows, columns))
        planes.append(plane.round().clip(0, 255).astype(np.uint8))
    y, u, v = planes
    return y, u, v


side = st.integers(80, 210).map(lambda half: 2 * half)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    side, side, st.sampled_from([1, 2]), st.integers(0, 1 << 30), st.sampled_from([0, 255]), st.sampled_from([0, 1, 90])
)
@example(320, 200, 2, 0, 255, 8)  # cells of whole samples
@example(426, 240, 2, 0, 0, 1)  # and of shares of them, in luma or in chroma
@example(202, 198, 1, 0, 255, 90)
@example(320, 160, 2, 0, 255, 0)
@example(1320, 160, 2, 1, 0, 2)  # more than 32 cells in a row, and more samples than a block has threads
def test_a_fingerprint_by_the_kernel_is_that_of_the_processor(
    card: AnyCard, width: int, height: int, apart: int, seed: int, contrast: int, noise: float
) -> None:
    planes = drawn(width, height, seed, contrast, noise)
    ours = fingerprint(planes, region_fingerprints(Layout("any", width, height, ())))
    np.testing.assert_array_equal(taken_by(card, planes, apart=apart), ours)
