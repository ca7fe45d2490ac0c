"""Coefficients to integers and back, for one setting of the waveform codec."""

from typing import NamedTuple

import numpy as np

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from telucodec.waveform.bands import Bands, expected, step_numbers
from telucodec.waveform.grids import (
    BANDS,
    CENTROID_BITS,
    CENTROID_MAGNITUDES,
    LAST_STEP,
    PRICE,
    REACH,
    ROWS,
    SHIFTS,
    STEPS,
    WIDES,
)


class Settings(NamedTuple):
    """How packets are quantised: with equal steps, or with steps that follow the envelope of the speech."""

    step: int  # 0 to LAST_STEP: the step is 2^(-step / 64) where the level is PIVOT
    shaping: int = 0  # 0 to LAST_SHAPING: the step is proportional to the envelope to the power shaping / 16

    @property
    def conditions(self) -> tuple[float, float]:
        """The settings as the context model sees them, before they are rounded to activations."""
        return self.step / 256 - 2, self.shaping / 4


class Grid(NamedTuple):
    """What the frames of a packet are quantised with."""

    levels: np.ndarray  # [groups, BANDS]; without shaping there are no groups
    steps: np.ndarray  # [frames, bins], float64
    expected: np.ndarray  # [frames, bins], float32: the envelope over the steps, integer activations; 0 without shaping


class Scale:
    """Grids of one setting for frames of `bins` coefficients."""

    def __init__(self, settings: Settings, bins: int):
        self.settings, self.bands, self._bins = settings, Bands(bins), bins

    def measured(self, frames: np.ndarray, step: int | None = None) -> Grid:
        """The grid for coefficients [frames, bins], at the step of the settings or at another."""
        levels = self.bands.measure(frames) if self.settings.shaping else np.zeros((0, BANDS), np.int64)
        return self.grid(levels, len(frames), step)

    def grid(self, levels: np.ndarray, frames: int, step: int | None = None) -> Grid:
        """The grid for so many frames with these levels."""
        shaping, step = self.settings.shaping, self.settings.step if step is None else step
        if not shaping:
            shape = frames, self._bins
            equal, none = STEPS[min(step, LAST_STEP)], np.float32(0)
            return Grid(levels, np.broadcast_to(equal, shape), np.broadcast_to(none, shape))
        envelope = self.bands.envelope(levels, frames)
        numbers = step_numbers(step, shaping, envelope)
        inputs = np.rint(expected(envelope, numbers) * 2**ACTIVATION_BITS)
        return Grid(levels, STEPS[numbers], inputs.clip(-ACTIVATION_LIMIT, ACTIVATION_LIMIT).astype(np.float32))


def reconstruct(integers: np.ndarray, kinds: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Values [...], float64, in the middle of what was coded as `integers`, given their kinds of distribution [...].

    An integer stands for an interval over which the density falls, so its mean lies nearer to zero.

    Args:
        centroids: corrections [scale, magnitude], in units of 2^-CENTROID_BITS.
    """
    magnitude = np.abs(integers)
    shift = centroids[kinds // WIDES, np.minimum(magnitude, CENTROID_MAGNITUDES - 1)] * 2.0**-CENTROID_BITS
    return np.sign(integers) * (magnitude + shift)


def likely_zeros(kinds: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """RMS [...], in steps, of what is coded as 0 under distributions [...]: the first column of the centroids."""
    return centroids[:, 0][kinds // WIDES] * 2.0**-CENTROID_BITS


class Prices:
    """Bits of magnitudes, looked up: what the encoder weighs against error. Equal inputs give equal choices."""

    LIMIT = 127  # from here on all cost the same

    def __init__(self, frequencies: np.ndarray):
        """From the model's frequency table [rows, symbols]."""
        share = frequencies / frequencies.sum(1, keepdims=True)
        bits = -np.log2(share[:, REACH:]).astype(np.float32)
        symbols = np.minimum(np.arange(self.LIMIT + 1) >> SHIFTS[:, None], REACH)
        table = np.take_along_axis(bits[ROWS], symbols, 1) + SHIFTS[:, None].astype(np.float32)
        self._table = table.ravel()

    def __call__(self, magnitudes: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Bits of integers [...] that are not negative, sign included, under distributions [...]."""
        return self._table.take(kinds * (self.LIMIT + 1) + np.minimum(magnitudes, self.LIMIT))


def quantize(values: np.ndarray, kinds: np.ndarray, prices: Prices) -> np.ndarray:
    """The integers [...], int64, that cost least: squared error plus PRICE times bits under given distributions [...].

    For each of values [...] the integers below and above its magnitude and 0 are tried (rate-distortion optimised
    quantisation; what an integer does to the distributions of later ones does not count).
    """
    magnitude = np.abs(values)
    below = magnitude.astype(np.int64)
    best = np.zeros_like(below)
    least = np.square(magnitude) + np.float32(PRICE) * prices(best, kinds)
    for candidate in (below, below + 1):
        cost = np.square(magnitude - candidate) + np.float32(PRICE) * prices(candidate, kinds)
        best = np.where(cost < least, candidate, best)
        least = np.minimum(cost, least)
    return np.where(values < 0, -best, best)
