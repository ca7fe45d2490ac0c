"""The levels of bands: what steps and noise follow where the noise is to hide below the speech.

Two frames share one level for each band. Between the centres of the bands, levels are interpolated, so that every bin
of a frame has an envelope. It is computed from integers alone, as encoder and decoder must agree on it.
"""

import numpy as np

from telucodec.waveform.grids import (
    BANDS,
    EDGES,
    GROUP,
    LAST_STEP,
    LEVEL_UNIT,
    LEVELS,
    PIVOT,
    STEPS_PER_OCTAVE,
    UNITY,
)

PARTS = 256  # the envelope of a bin is a mean of two levels with weights in so many parts
LEAST = 1e-20  # energies count as at least this


def members(bins: int) -> np.ndarray:
    """Which bins belong to each band: [bins, BANDS] of 0 and 1, float64."""
    edges = [round(edge * bins / EDGES[-1]) for edge in EDGES]
    matrix = np.zeros((bins, BANDS))
    for band in range(BANDS):
        matrix[edges[band] : edges[band + 1], band] = 1
    return matrix


def interpolation(bins: int) -> np.ndarray:
    """The parts that each level has in the envelope of each bin: [BANDS, bins], integers as float64."""
    inside = members(bins)
    centres = np.arange(bins) @ inside / np.maximum(inside.sum(0), 1)
    rows = np.stack([np.interp(np.arange(bins), centres, row) for row in np.eye(BANDS)])
    parts = np.floor(rows * PARTS)
    parts[rows.argmax(0), np.arange(bins)] += PARTS - parts.sum(0)
    return parts


def band_centres(bins: int) -> list[int]:
    """The bin in the middle of each band."""
    inside = members(bins)
    return [int(places.mean()) for places in map(np.flatnonzero, inside.T)]


class Bands:
    """The bands of frames of `bins` coefficients."""

    def __init__(self, bins: int):
        self.members = members(bins)
        self.sizes = self.members.sum(0)
        self._parts = interpolation(bins)

    def measure(self, frames: np.ndarray) -> np.ndarray:
        """The levels [groups, BANDS], int64, of coefficients [frames, bins]; the last group may be a part of one."""
        starts = np.arange(0, len(frames), GROUP)
        counts = np.diff(np.append(starts, len(frames)))[:, None]
        energy = np.add.reduceat(np.square(frames, dtype=np.float64) @ self.members, starts) / counts
        octaves = np.log2(np.maximum(energy / np.maximum(self.sizes, 1), LEAST)) / 2
        return np.rint(octaves * (STEPS_PER_OCTAVE / LEVEL_UNIT) + UNITY).clip(0, LEVELS - 1).astype(np.int64)

    def envelope(self, levels: np.ndarray, frames: int) -> np.ndarray:
        """Levels [..., groups, BANDS] to the envelope [..., frames, bins] in 64ths of an octave above level 0, whole numbers."""
        groups = np.rint(levels @ self._parts * (LEVEL_UNIT / PARTS))
        return np.repeat(groups, GROUP, axis=-2)[..., :frames, :]


def step_numbers(step: int, shaping: int, envelope: np.ndarray) -> np.ndarray:
    """The numbers of the steps, int64, that follow an envelope [...] to the power `shaping` / 16."""
    finer = np.rint((envelope - PIVOT * LEVEL_UNIT) * (shaping / 16))
    return (step - finer).clip(0, LAST_STEP).astype(np.int64)


def expected(envelope: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The envelope over the steps of these numbers [...] on the scale of the network's inputs for magnitudes, not rounded."""
    return (envelope - UNITY * LEVEL_UNIT + numbers) * (0.375 / STEPS_PER_OCTAVE)
