"""Whether audio that was coded anew still sounds like the source's, over its whole length.

Belongs here: comparing decoded samples. Audio that is copied is compared packet by packet (`streams`). Coding changes
waveforms least below 4 kHz, so that is where each quarter of a second is correlated with the source's; above, and in
the difference of left and right, energy is compared over the whole length.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualface_core.media.audio_frames import AudioBlocks
from dualface_core.media.audio_streams import AudioInfo
from dualface_core.verification.findings import Check, Finding, clock

_RATE: Final = 24_000
_BLOCK: Final = 6_000
"""Samples per second, and samples of a block, at which audio is compared."""

_SLACK: Final = 600
"""Samples by which a block may lie beside its place: 25 ms, about an AAC frame at 44.1 kHz."""

_STRETCH: Final = 16
"""Blocks over which it is looked how late audio is that is not the source's: 4 s, and so up to 2 s."""

_EDGE: Final = 1_500
"""Samples at either end of a block that don't count for its level: coding carries what is loud into silence beside it,
by up to an AAC frame."""

_QUIET: Final = 0.003
"""Root mean square, full scale being 1, below which a block counts as silence (-50 dB)."""

_LEAST_MIDDLE: Final = 0.1
"""Of the level of a whole block, that which its middle must have for the middle alone to be compared (-20 dB)."""

_LEAST_CORRELATION: Final = 0.5
_LEVEL: Final = 2.0
"""Of a block: the least correlation, and the greatest ratio of levels either way (6 dB)."""

_BANDS: Final = ((4_000, 8_000), (8_000, 11_900))
_LEAST_KEPT: Final = 0.1
_LEAST_SHARE: Final = 1e-3
"""Hertz; the share of its energy that a band keeps, or the difference of left and right (-10 dB); and the share of all
energy from which on a band or that difference matters (-30 dB)."""


def audio_blocks(path: Path, track: AudioInfo, *, start: float, channels: int) -> AudioBlocks:
    """An audio stream of a file, as `content_finding` compares it.

    Args:
        path: the file.
        track: which stream of it.
        start: seconds at which the comparison begins.
        channels: 1 or 2; what a source has more or less of is mixed as the writer mixes it.
    """
    return AudioBlocks(path, track, rate=_RATE, channels=channels, start=start, size=_BLOCK)


def content_finding(result: AudioBlocks, source: AudioBlocks) -> Finding:
    """Compare the decoded audio of a result with that of its source, both on one clock and from one time on."""
    channels, start = result.channels, result.start
    frequencies = np.fft.rfftfreq(2 * _BLOCK, 1 / _RATE)
    bands = [(frequencies >= low) & (frequencies < high) for low, high in _BANDS]
    low = frequencies < _BANDS[0][0]
    energies = np.zeros((2, 2 + len(bands)))  # of result and source: all, left minus right, each band
    wrong: list[int] = []
    stretch: list[tuple[NDArray[np.float32], ...]] = []  # from the first wrong block on
    silence = np.zeros((channels, _BLOCK), np.float32)
    for number, pair in enumerate(zip_longest(result, source, fillvalue=silence)):
        if not np.any(pair):
            continue
        spectra = np.fft.rfft(np.stack(pair), 2 * _BLOCK)
        power = np.abs(spectra) ** 2
        energies[:, 0] += power.sum(axis=(1, 2))
        energies[:, 1] += (np.abs(spectra[:, 0] - spectra[:, -1]) ** 2).sum(axis=1)
        energies[:, 2:] += np.stack([power[:, :, band].sum(axis=(1, 2)) for band in bands], axis=1)
        if not all(map(_alike, *pair, spectra[:, :, low].swapaxes(0, 1))):
            wrong.append(number)
        if wrong and len(stretch) < _STRETCH:
            stretch.append(pair)
    ours, theirs = energies
    lost = (theirs[1:] > _LEAST_SHARE * theirs[0]) & (ours[1:] < _LEAST_KEPT * theirs[1:])
    names = ["the difference of left and right", *(f"what lies from {a} to {b} Hz" for a, b in _BANDS)]
    seconds = len(wrong) * _BLOCK / _RATE
    messages = []
    if wrong:
        lag = _lag(*(np.concatenate(blocks, axis=1) for blocks in zip(*stretch, strict=True)))
        late = f", where it is {abs(lag):.3f} s {'late' if lag > 0 else 'early'}" if lag else ""
        messages.append(f"{seconds:g} s of it differ, first at {clock(start + wrong[0] * _BLOCK / _RATE)}{late}")
    messages += [f"{name} is lost" for name, gone in zip(names, lost, strict=True) if gone]
    return Finding(
        check=Check.AUDIO_CONTENT,
        passed=not messages,
        value=round(seconds, 3),
        expected="0 s that differ, and no band or side lost",
        message=f"The audio, coded anew, is not the source's: {'; '.join(messages)}."
        if messages
        else "The audio, coded anew, is that of the source over its whole length.",
    )


def _lag(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Seconds by which a stretch of the result is later than the source's; 0 if it is not the same stretch at all."""
    length = 2 * ours.shape[1]
    spectra = [np.fft.rfft(each.mean(axis=0), length) for each in (ours, theirs)]
    correlation = np.fft.irfft(spectra[0] * spectra[1].conj(), length)
    best = int(correlation.argmax())
    lag = best if best < length // 2 else best - length
    common = slice(max(lag, 0), ours.shape[1] + min(lag, 0)), slice(max(-lag, 0), ours.shape[1] - max(lag, 0))
    energy = np.prod([np.sum(each.mean(axis=0)[part] ** 2) for each, part in zip((ours, theirs), common, strict=True)])
    alike = abs(lag) > _SLACK and correlation[best] > _LEAST_CORRELATION * np.sqrt(energy)
    return lag / _RATE if alike else 0.0


def _alike(ours: NDArray[np.float32], theirs: NDArray[np.float32], spectra: NDArray[np.complex128]) -> bool:
    """Whether a block of one channel is the source's; `spectra` are the lower parts of both, result and source."""
    levels = [float(np.sqrt(np.mean(block[_EDGE:-_EDGE] ** 2))) for block in (ours, theirs)]
    if levels[1] < _QUIET:
        return levels[0] < 2 * _LEVEL * _QUIET
    # Where the middle is next to nothing beside the edges, audio begins or ends there, and a sample decides about it.
    matters = levels[1] > _LEAST_MIDDLE * float(np.sqrt(np.mean(theirs**2)))
    if matters and not 1 / _LEVEL < levels[0] / levels[1] < _LEVEL:
        return False
    energies = (np.abs(spectra) ** 2).sum(axis=1)
    if energies[1] < 0.01 * levels[1] ** 2 * _BLOCK**2:
        return True  # what there is lies above: its energy is compared over the whole length
    shifted = np.fft.irfft(np.pad(spectra[0] * spectra[1].conj(), (0, _BLOCK + 1 - spectra.shape[1])), 2 * _BLOCK)
    best = max(shifted[: _SLACK + 1].max(), shifted[-_SLACK:].max())
    # The second keeps next to nothing, however alike, from passing for the source.
    return bool(best * _BLOCK > _LEAST_CORRELATION * max(np.sqrt(np.prod(energies)), energies[1] / _LEVEL))
