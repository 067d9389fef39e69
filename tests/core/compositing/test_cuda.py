"""The kernels against the CPU's compositor, on a processor; on a card, too, where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dualface_core.compositing.cpu import Compositor
from dualface_core.compositing.cuda import CudaCompositor
from dualface_core.media.color import SDR
from dualface_core.media.cuda_frames import Canvas, CudaFrame
from dualface_core.media.frames import Frame, Planes
from dualface_core.tables.labels import Person, Subject
from dualface_core.tables.layouts import Border, Layout, Tile
from dualface_core.tables.tile_plan import PlanPart
from tests.core.compositing.emulated_card import AnyCard

SPLIT = Layout("split", 320, 180, (Tile(Subject.A, 0, 0, 160, 180), Tile(Subject.B, 160, 0, 160, 180)))
TALL = Layout("tall", 108, 192, (Tile(Subject.A, 0, 0, 108, 96), Tile(Subject.B, 0, 96, 108, 96)))
FINISHED = Layout(
    "finished",
    480,
    320,
    (Tile(Subject.A, 0, 0, 480, 320), Tile(Subject.B, 250, 150, 216, 160)),
    background="#305070",
    border=Border(4, "#f0d0b0"),
    corners=24,
    captions={Person.A: "Anna", Person.B: "Bo"},
)
APART = replace(FINISHED, name="apart", tiles=(Tile(Subject.A, 16, 16, 216, 288), Tile(Subject.B, 248, 16, 216, 288)))


def picture(width: int, height: int, *, seed: int = 0) -> Planes:
    """Planes with edges, fine lines and noise, as a camera sees them."""
    random = np.random.default_rng(seed)
    planes = []
    for scale in (1, 2, 2):
        rows, columns = -(-height // scale), -(-width // scale)
        y, x = np.mgrid[:rows, :columns] * scale
        waves = 40 * np.sin(x / 5.3 + y / 9.1) + 25 * np.sin(x * y / 900) + 30 * ((x // 37 + y // 23) % 2)
        planes.append((110 + waves + random.normal(0, 4, waves.shape)).clip(16, 235).astype(np.uint8))
    y, u, v = planes
    return y, u, v


def on_card(card: AnyCard, planes: Planes, *, deep: bool = False, pad: int = 0) -> CudaFrame:
    """Planes as NVDEC leaves them: U and V in turn, rows apart, ten bits in the upper ones of sixteen."""
    height, width = planes[0].shape
    turns = np.stack(planes[1:], axis=-1).reshape(planes[1].shape[0], -1)
    kept, pitches = [], []
    for plane in (planes[0], turns):
        values = np.pad(plane.astype(np.uint16) << 8 if deep else plane, ((0, 3), (0, pad)), constant_values=77)
        kept.append(card.upload(values))
        pitches.append(values.strides[0])
    return CudaFrame(0, 0, (kept[0].address, kept[1].address), tuple(pitches), width, height, 1 + deep, kept)


class Drawn:
    """A canvas, each of its bytes 99, as NVENC has it (apart = 2) or as x264."""

    def __init__(self, card: AnyCard, layout: Layout, *, apart: int) -> None:
        self.card, self.layout, self.apart = card, layout, apart
        self.pitch, self.rows = -(-layout.width // 256) * 256, 2 * layout.height
        self.memory = card.upload(np.full((self.rows, self.pitch), 99, np.uint8))
        y, height = self.memory.address, layout.height
        uv = y + height * self.pitch
        v = uv + 1 if apart == 2 else uv + height // 2 * self.pitch
        self.canvas = Canvas((y, uv, v), (self.pitch, self.pitch, self.pitch), apart)

    def planes(self) -> Planes:
        """Y, U and V, once nothing beside the canvas was found to be touched."""
        host = self.card.locked(self.rows * self.pitch)
        self.card.start_download(self.memory.address, host)
        self.card.finish()
        memory, width, height = host.reshape(self.rows, self.pitch), self.layout.width, self.layout.height
        assert (memory[:height, width:] == 99).all()
        luma, rest = memory[:height, :width], memory[height:]
        if self.apart == 2:
            return luma, rest[: height // 2, :width:2], rest[: height // 2, 1:width:2]
        return luma, rest[: height // 2, : width // 2], rest[height // 2 : height, : width // 2]


def plan(layout: Layout, windows: object, tiles: object = None) -> PlanPart:
    """A plan of one frame."""
    places = np.array([[tile.rectangle for tile in layout.tiles] if tiles is None else tiles], np.int32)
    subjects = np.array([[tile.subject for tile in layout.tiles]])
    return PlanPart(layout, 0, np.zeros(1, np.int64), places, np.array([windows], np.float32), subjects)


def both(
    card: AnyCard, shown: PlanPart, planes: Planes, *, deep: bool = False, apart: int = 2
) -> tuple[Planes, Planes]:
    """What the CPU's compositor and the kernel make of a frame."""
    height, width = planes[0].shape
    ours = Compositor(shown.layout, width, height).compose(Frame(0, 0, 0.0, planes, SDR), shown.frame(0))
    drawn = Drawn(card, shown.layout, apart=apart)
    CudaCompositor(card, shown, SDR).draw(on_card(card, planes, deep=deep, pad=13), drawn.canvas)
    return ours, drawn.planes()


def assert_alike(ours: Planes, theirs: Planes, *, share: float = 0.999) -> None:
    for one, other in zip(ours, theirs, strict=True):
        apart = np.abs(one.astype(int) - other)
        assert np.mean(apart <= 2) >= share, f"{np.mean(apart <= 2):.4%} within 2, at most {apart.max()}"


WINDOWS = {
    "enlarged": [[100.3, 90.7, 71.1, 80.0], [300.2, 120.4, 53.3, 60.0]],
    "whole samples": [[100, 90, 80, 90], [300, 120, 80, 90]],
    "one to one": [[100.25, 90.5, 160, 180], [300.125, 120.375, 160, 180]],
    "nearly one to one": [[100.25, 90.5, 159.9, 179.9], [300.125, 120.375, 160.1, 180.1]],
    "shrunk a little": [[150.3, 150.3, 210.7, 237.1], [350.9, 140.2, 260.3, 292.8]],
    "averaged first": [[200, 150, 400.3, 450.4], [200.7, 150.3, 980.0, 1102.5]],
    "beyond every edge": [[10.2, 12.3, 71.1, 80.0], [395.6, 297.1, 106.7, 120.0]],
    "tiny": [[200.3, 150.8, 8.9, 10.0], [100.1, 50.2, 3.55, 4.0]],
}


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("size", [(400, 300), (401, 301)], ids=["even", "odd"])
def test_the_kernel_draws_what_the_cpu_draws(card: AnyCard, windows: object, size: tuple[int, int]) -> None:
    assert_alike(*both(card, plan(SPLIT, windows), picture(*size)))


@pytest.mark.parametrize("apart", [1, 2])
@pytest.mark.parametrize("layout", [SPLIT, TALL, FINISHED, APART], ids=lambda layout: layout.name)
@pytest.mark.parametrize("deep", [False, True])
def test_every_layout_is_drawn_alike_of_8_and_of_10_bits(card: AnyCard, layout: Layout, apart: int, deep: bool) -> None:
    windows = [[150, 150, 2 * 90 * tile.aspect, 180] for tile in layout.tiles]
    assert_alike(*both(card, plan(layout, windows), picture(400, 300), deep=deep, apart=apart))


@pytest.mark.parametrize(
    "tiles",
    [[[0, 0, 0, 0], [0, 0, 480, 320]], [[-2 + 2, 4, 150, 200], [100, 100, 200, 202]], [[0, 0, 0, 0], [0, 0, 0, 0]]],
    ids=["one on the whole canvas", "one over the other", "none"],
)
def test_tiles_are_drawn_where_a_frame_has_them(card: AnyCard, tiles: object) -> None:
    windows = [[150.2, 150, 150, 170], [250, 150.4, 120, 80]]
    assert_alike(*both(card, plan(APART, windows, tiles), picture(400, 300)))


def test_a_part_of_a_plan_is_drawn_by_the_numbers_that_its_frames_have_in_the_video(card: AnyCard) -> None:
    planes = picture(400, 300)
    windows = np.tile(list(WINDOWS.values())[:4], (25, 1, 1)).repeat(2, axis=0).astype(np.float32)
    subjects = np.repeat([[tile.subject for tile in SPLIT.tiles]], 200, axis=0)
    places = np.repeat([[tile.rectangle for tile in SPLIT.tiles]], 200, axis=0)
    part = PlanPart(SPLIT, 90, np.zeros(200, np.int64), places, windows, subjects)
    compositor, drawn = CudaCompositor(card, part, SDR), Drawn(card, SPLIT, apart=1)
    for number in (92, 93, 161, 288, 289):
        compositor.draw(replace(on_card(card, planes), index=number), drawn.canvas)
        ours = Compositor(SPLIT, 400, 300).compose(Frame(number, 0, 0.0, planes, SDR), part.frame(number))
        assert_alike(ours, drawn.planes())
