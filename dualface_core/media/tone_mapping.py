"""HDR and wide gamut to SDR: which BT.709 color takes the place of each color, as a cube that FFmpeg's lut3d reads.

Belongs here: transfer functions, primaries and the operator. The one idea: light is made smaller by the EETF of ITU-R
BT.2390 (5.4.1), from the 1000 cd/m2 that phones and HLG displays have to the 203 cd/m2 that BT.2408 calls HDR's
reference white. Below some 94 cd/m2 nothing changes, so faces keep their brightness and only highlights are compressed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.media.color import BT709, BT2020, HLG, PQ, ColorInfo

Light = NDArray[np.float64]
"""(..., 3) of red, green and blue, linear, in cd/m2."""

PEAK: Final = 1000.0
"""cd/m2 of the brightest white that is told from one brighter still."""

REFERENCE_WHITE: Final = 203.0
"""cd/m2 of HDR that become the white of SDR."""

_GRID: Final = 33
"""Points on each axis of a cube. Between them, 8-bit levels are 0.4 off on average for colors near gray, and 2 for any
colors, most of it in the darkest channel of saturated ones; 65 points would halve that, and take 2 s to write."""

_DISPLAY_GAMMA: Final = 2.4  # BT.1886
_HLG_SYSTEM_GAMMA: Final = 1.2  # BT.2100, of a display of 1000 cd/m2
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_PQ_M1, _PQ_M2, _PQ_C1, _PQ_C2, _PQ_C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875

_CHROMATICITIES: Final = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_D65: Final = (0.3127, 0.3290)


@lru_cache(2)
def sdr_cube(color: ColorInfo) -> bytes:
    """A .cube file whose input is R'G'B' of `color`, and whose output is R'G'B' of SDR with the primaries of BT.709."""
    axis = np.linspace(0.0, 1.0, _GRID)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red changes fastest in the file
    table = to_sdr(np.stack([red, green, blue], axis=-1), color).reshape(-1, 3)
    lines = "\n".join(f"{red:.5f} {green:.5f} {blue:.5f}" for red, green, blue in table.tolist())
    return f"LUT_3D_SIZE {_GRID}\n{lines}\n".encode()


def to_sdr(signal: NDArray[np.float64], color: ColorInfo) -> NDArray[np.float64]:
    """Colors of a video as SDR with the primaries of BT.709.

    Args:
        signal: (..., 3), R'G'B' from 0 to 1.
        color: what they stand for.

    Returns:
        (..., 3), R'G'B' from 0 to 1, for a display as BT.1886 has it.
    """
    to_xyz = _rgb_to_xyz(color.primaries)
    light = _light(signal, color.transfer, to_xyz[1])
    if color.is_hdr:
        light = _compressed(light)
    to_709 = np.linalg.inv(_rgb_to_xyz(BT709))
    rgb = light / REFERENCE_WHITE @ (to_709 @ to_xyz).T
    # What BT.709 cannot show loses saturation, and keeps hue and luminance.
    luminance = np.clip(rgb @ _rgb_to_xyz(BT709)[1], 0, 1)[..., None]
    away = rgb - luminance
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(away > 0, (1 - luminance) / away, np.where(away < 0, -luminance / away, np.inf))
    fitted = luminance + away * np.minimum(1, room.min(axis=-1, keepdims=True))
    return np.asarray(np.clip(fitted, 0, 1) ** (1 / _DISPLAY_GAMMA), np.float64)


def _light(signal: NDArray[np.float64], transfer: int, luminance: NDArray[np.float64]) -> Light:
    """What a reference display emits. `luminance` has the shares of red, green and blue in it."""
    if transfer == PQ:
        return np.asarray(10_000 * _pq_to_linear(signal), np.float64)
    if transfer == HLG:
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12)
        return np.asarray(PEAK * scene * (scene @ luminance)[..., None] ** (_HLG_SYSTEM_GAMMA - 1), np.float64)
    return np.asarray(REFERENCE_WHITE * signal**_DISPLAY_GAMMA, np.float64)


def _compressed(light: Light) -> Light:
    """Light of which no color is brighter than the reference white: its proportions, and so its hue, are kept."""
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    return np.asarray(light * (_eetf(brightest) / brightest), np.float64)


def _eetf(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.2390's electrical-electrical transfer function, between displays whose black is 0."""
    whole = float(_linear_to_pq(PEAK))
    e1 = np.minimum(_linear_to_pq(nits) / whole, 1)
    most = float(_linear_to_pq(REFERENCE_WHITE)) / whole
    knee = 1.5 * most - 0.5
    t = np.clip((e1 - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return np.asarray(10_000 * _pq_to_linear(np.where(e1 < knee, e1, spline) * whole), np.float64)


def _pq_to_linear(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084: 1 is 10,000 cd/m2."""
    power = signal ** (1 / _PQ_M2)
    return np.asarray((np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1), np.float64)


def _linear_to_pq(nits: NDArray[np.float64] | float) -> NDArray[np.float64]:
    power = (np.asarray(nits, np.float64) / 10_000) ** _PQ_M1
    return np.asarray(((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2, np.float64)


def _rgb_to_xyz(primaries: int) -> NDArray[np.float64]:
    """The 3x3 matrix from linear RGB to CIE XYZ, white being D65; its second row has the shares in luminance."""
    corners = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _CHROMATICITIES.get(primaries, _CHROMATICITIES[BT709])])
    white = np.array([_D65[0] / _D65[1], 1, (1 - sum(_D65)) / _D65[1]])
    return np.asarray(corners.T * np.linalg.solve(corners.T, white), np.float64)
