"""How long the compositor takes for a frame, and how true its result is, against OpenCV's affine warp.

Time: two tiles of 960x1080, one thread, the least and the median of many frames. Truth: PSNR of luma against a windowed
sinc of 16 taps in double precision, on a photograph of at least 510x598 pixels, at several fractions of a pixel.

    python -m benchmarks.compositing PHOTOGRAPH
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from dualface_core.compositing.cpu import Compositor
from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Frame, Planes
from dualface_core.tables.labels import Subject
from dualface_core.tables.layouts import LAYOUTS, Layout, Tile
from dualface_core.tables.tile_plan import FramePlan

FRAMES = 200
SIZES = {
    "1080p, close-ups, stretched 2x": (1920, 1080, 540.0),
    "1080p, stretched 1.5x": (1920, 1080, 720.0),
    "1080p, opening out": (1920, 1080, 1079.0),
    "1080p, wide": (1920, 1080, 1080.0),
    "720p, stretched 2.5x": (1280, 720, 432.0),
    "2160p, shrunk 1.1x": (3840, 2160, 1188.0),
    "2160p, shrunk 1.6x": (3840, 2160, 1728.0),
    "2160p, wide": (3840, 2160, 2160.0),
}


def warp(planes: Planes, crop_windows: NDArray[np.float32], layout: Layout, canvas: Planes) -> None:
    """What the compositor does, with cv2.warpAffine and bilinear interpolation."""
    for tile, (x, y, width, height) in zip(layout.tiles, crop_windows.astype(float), strict=True):
        step_x, step_y, left, top = width / tile.width, height / tile.height, x - width / 2, y - height / 2
        for plane, target, scale in zip(planes, canvas, (1, 2, 2), strict=True):
            shift_x = (left + step_x / 2 - 0.5) / scale
            shift_y = top + step_y / 2 - 0.5 if scale == 1 else (top + step_y - 1) / 2
            matrix = np.array([[step_x, 0, shift_x], [0, step_y, shift_y]])
            part = target[tile.y // scale : (tile.y + tile.height) // scale, tile.x // scale :]
            size = (tile.width // scale, tile.height // scale)
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            part[:, : size[0]] = cv2.warpAffine(plane, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def shown(layout: Layout, crop_windows: NDArray[np.float32]) -> FramePlan:
    """What the compositor is to draw: the tiles where the layout has them."""
    tiles, subjects = zip(*((tile.rectangle, tile.subject) for tile in layout.tiles), strict=True)
    return FramePlan(np.array(tiles), crop_windows, np.array(subjects))


def speed() -> None:
    """Print the time that a frame takes."""
    layout = LAYOUTS["side-by-side"]
    noise = np.random.default_rng(0)
    print(f"{'source and zoom':34}{'compositor, ms':>18}{'affine warp, ms':>18}")
    for name, (width, height, extent) in SIZES.items():
        luma = cv2.GaussianBlur(noise.integers(0, 255, (height, width), dtype=np.uint8), (0, 0), 1.0)
        planes = (luma, luma[::2, ::2].copy(), luma[::2, ::2].copy())
        tile = extent * 960 / 1080
        still = extent == height
        y = height / 2 if still else height / 2 - 0.3
        left = tile / 2 if still else width * 0.3 + 0.3
        crop_windows = np.array([(left, y, tile, extent), (width - tile / 2, y, tile, extent)], np.float32)
        compositor, frame = Compositor(layout, width, height), Frame(0, 0, 0.0, planes, ColorInfo())
        canvas = (np.empty((1080, 1920), np.uint8), *(np.empty((540, 960), np.uint8) for _ in range(2)))
        figures, plan = [], shown(layout, crop_windows)
        for render in (
            lambda c=compositor, f=frame, s=plan: c.compose(f, s),
            lambda c=canvas, p=planes, r=crop_windows: warp(p, r, layout, c),
        ):
            times = []
            for _ in range(FRAMES):
                start = perf_counter()
                render()
                times.append(perf_counter() - start)
            figures.append(f"{1e3 * min(times):.1f} / {1e3 * float(np.median(times)):.1f}")
        print(f"{name:34}{figures[0]:>18}{figures[1]:>18}")


def truth(photograph: Path) -> None:
    """Print how near the result comes to an ideal resampling."""
    image = np.asarray(cv2.imread(str(photograph), cv2.IMREAD_GRAYSCALE), np.uint8)[:598, :510]
    planes = (image, image[::2, ::2].copy(), image[::2, ::2].copy())
    print(f"\n{'zoom':>6}{'compositor, dB':>18}{'affine warp, dB':>18}")
    for zoom in (2.5, 2.0, 1.5, 1.0, 0.9, 0.7, 0.55, 0.5):
        width, height = int(400 * zoom) // 2 * 2, int(450 * zoom) // 2 * 2
        layout = Layout("photograph", width, height, (Tile(Subject.A, 0, 0, width, height),))
        compositor, frame = Compositor(layout, image.shape[1], image.shape[0]), Frame(0, 0, 0.0, planes, ColorInfo())
        figures: list[list[float]] = [[], []]
        for fraction in (0.125, 0.25, 0.5, 0.7):
            left, top = 40 + fraction, 50 + fraction / 2
            center = (left + width / zoom / 2, top + height / zoom / 2, width / zoom, height / zoom)
            crop_window = np.array([center], np.float32)
            warped = (np.empty((height, width), np.uint8), *(np.empty((height // 2, width // 2), np.uint8),) * 2)
            warp(planes, crop_window, layout, warped)
            down, across = sinc(image.shape[0], top, 1 / zoom, height), sinc(image.shape[1], left, 1 / zoom, width)
            expected = down @ image.astype(float) @ across.T
            for result, rendered in zip(
                figures,
                (compositor.compose(frame, shown(layout, crop_window)), warped),
                strict=True,
            ):
                error = (rendered[0] - expected)[4:-4, 4:-4]
                result.append(10 * np.log10(255**2 / np.mean(error**2)))
        print(f"{zoom:6}{np.mean(figures[0]):18.1f}{np.mean(figures[1]):18.1f}")


def sinc(samples: int, start: float, step: float, count: int, lobes: int = 8) -> NDArray[np.float64]:
    """A matrix (count, samples) that resamples with a Lanczos window of 8 lobes, antialiased where it shrinks."""
    positions = start + (np.arange(count) + 0.5) * step - 0.5
    distance = (positions[:, None] - np.arange(samples)) / max(step, 1)
    weights = np.where(np.abs(distance) < lobes, np.sinc(distance) * np.sinc(distance / lobes), 0)
    return weights / weights.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}, Python {platform.python_version()}, {platform.machine()}\n")
    speed()
    truth(arguments.photograph)
