"""Renders tiles on the card: what `cpu` does, in one launch of a kernel a frame.

Belongs here: what the kernel of `tiles.cu` is told. It comes compiled to PTX, which every driver since 550 and every
card since Turing takes; `compile_kernels` makes it.
"""

from __future__ import annotations

import ctypes
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.background import levels
from dualface_core.compositing.finish import GROUND, PLATE, TEXT, Finish
from dualface_core.compositing.sampling import AXIS, plan_axes
from dualface_core.media.color import ColorInfo
from dualface_core.media.cuda_frames import Canvas, CudaFrame
from dualface_core.system.cuda import Card, DeviceMemory
from dualface_core.tables.tile_plan import PlanPart

PTX: Final = Path(__file__).with_name("tiles.ptx")
"""The kernel, compiled."""

SLOT: Final = np.dtype(
    [
        ("axes", AXIS, (2, 2)),
        ("tile", np.int32, 4),
        ("radius", np.int32),
        ("border", np.int32),
        ("caption", np.int32, 4),
        ("letters", np.int32, 2),
    ]
)
"""What a tile of a frame looks like: `Slot` of the kernels."""

_AT_ONCE: Final = 64
"""Frames whose tiles are worked out together: one by one takes ten times as long, and for those of a whole plan the
first frame would wait."""

_COLUMNS, _ROWS, _WAYS = 64, 32, 4
"""Of a block: what `tiles.cu` has by the same names."""


class Job(ctypes.Structure):
    """Of the kernel `compose`."""

    _fields_ = (
        ("source", ctypes.c_uint64 * 2),
        ("pitch", ctypes.c_int * 2),
        ("size", ctypes.c_int * 2 * 2),
        ("bytes", ctypes.c_int),
        ("slots", ctypes.c_int),
        ("slot", ctypes.c_uint64),
        ("masks", ctypes.c_uint64),
        ("canvas", ctypes.c_uint64 * 3),
        ("canvas_pitch", ctypes.c_int * 3),
        ("apart", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        *((name, ctypes.c_int * 3) for name in ("background", "line", "white", "black")),
        ("plate", ctypes.c_int),
    )


class CudaCompositor:
    """Makes canvases out of the frames of one video. Raises CudaError.

    Args:
        card: the device.
        plan: what each tile shows in the frames that will come; its layout's background is no blurred source.
        color: what all frames stand for. Their chroma is sited `LEFT`.
    """

    def __init__(self, card: Card, plan: PlanPart, color: ColorInfo) -> None:
        layout = plan.layout
        self._card, self._plan = card, plan
        (self._compose,) = card.kernels(PTX.read_bytes(), "compose")
        self._parts: deque[_Uploaded] = deque(maxlen=2)  # of those before the last, nothing is on its way any more
        self._job = Job(slots=plan.tiles.shape[1], width=layout.width, height=layout.height)
        self._job.plate = PLATE
        line = layout.border.color if layout.border else GROUND
        self._job.background[:], self._job.line[:] = levels(layout.background, color), levels(line, color)
        self._job.white[:], self._job.black[:] = levels(TEXT, color), levels(GROUND, color)

    def draw(self, frame: CudaFrame, canvas: Canvas) -> None:
        """Start to render one canvas."""
        job = self._job
        job.source[:], job.pitch[:], job.bytes = frame.addresses, frame.pitches, frame.bytes
        for size, scale in zip(job.size, (1, 2), strict=True):
            size[:] = -(-frame.width // scale), -(-frame.height // scale)
        if not self._parts or frame.index not in self._parts[-1].frames:
            self._upload(frame.index)
        part = self._parts[-1]
        job.slot = part.slots.address + (frame.index - part.frames[0]) * SLOT.itemsize * job.slots
        job.masks = part.masks.address
        job.canvas[:], job.canvas_pitch[:], job.apart = canvas.addresses, canvas.pitches, canvas.apart
        blocks = -(-job.width // _COLUMNS), -(-job.height // _ROWS), 2
        self._compose(blocks, _COLUMNS * _WAYS, job)

    def _upload(self, number: int) -> None:
        """Have the card know what is shown in the frame of that number, and in those around."""
        place = number - self._plan.first
        place -= place % _AT_ONCE
        part = self._plan.part(place, place + _AT_ONCE)
        slots, masks = slots_of(part)
        frames = range(part.first, part.first + len(slots))
        self._parts.append(_Uploaded(frames, self._card.upload(slots), self._card.upload(masks)))


@dataclass(frozen=True)
class _Uploaded:
    """What the kernel is told of some frames: see `slots_of`."""

    frames: range
    slots: DeviceMemory
    masks: DeviceMemory


def slots_of(plan: PlanPart) -> tuple[NDArray[np.void], NDArray[np.uint16]]:
    """The tiles of the frames, (frames, slots) of `SLOT`; and the masks of captions, (samples,) of 0 to 256."""
    changed = np.ones(len(plan.tiles), np.bool_)  # since the frame before, as few are
    differs = (each[1:] != each[:-1] for each in (plan.tiles, plan.crop_windows, plan.subjects))
    changed[1:] = np.any([each.any(axis=tuple(range(1, each.ndim))) for each in differs], axis=0)
    finish, tiles = Finish(plan.layout), plan.tiles[changed]
    slots = np.zeros(tiles.shape[:2], SLOT)
    slots["axes"], slots["tile"] = plan_axes(tiles, plan.crop_windows[changed]), tiles
    subjects, numbers = np.unique(plan.subjects[changed], return_inverse=True)
    looks = np.concatenate([tiles, numbers.reshape(slots.shape)[..., np.newaxis]], axis=-1)
    kinds, places = np.unique(looks.reshape(-1, 5), axis=0, return_inverse=True)
    masks: list[NDArray[np.uint16]] = []
    begins: dict[str, tuple[int, int]] = {}
    for kind, (*tile, number) in enumerate(kinds.tolist()):
        rectangle, subject = tuple(tile), str(subjects[number])
        if not rectangle[2]:
            continue
        here = (places == kind).reshape(slots.shape)
        slots["radius"][here], slots["border"][here] = finish.radius(rectangle), finish.border(rectangle)
        if caption := finish.caption_place(rectangle, subject):
            if subject not in begins:
                letters = finish.letters(subject)
                begin = sum(mask.size for mask in masks)
                begins[subject] = (begin, begin + letters[0].size)
                masks += letters
            slots["caption"][here], slots["letters"][here] = caption, begins[subject]
    slots = slots[np.cumsum(changed) - 1]
    return slots, np.concatenate([np.empty(0, np.uint16), *(mask.ravel() for mask in masks)])
