"""Coefficients to integers and back, for one setting of the waveform codec."""

from typing import NamedTuple

import numpy as np

from telucodec.waveform.grids import (
    CENTROID_BITS,
    CENTROID_MAGNITUDES,
    KNEES,
    LAST_STEP,
    PRICE,
    REACH,
    ROWS,
    SHIFTS,
    STEPS,
    WIDES,
)


class Settings(NamedTuple):
    """How packets are quantised.

    A coefficient X is coded as an integer near v with v * (1 + |v| / knee) = X / step: steps are equal below the knee and
    grow with the magnitude above it, so that noise follows speech.
    """

    step: int  # 0 to LAST_STEP: the step is 2^(-step / 64)
    knee: int = 0  # 0: none; 1 to 255: at 2^((160 - knee) / 16) steps

    @property
    def conditions(self) -> tuple[float, float]:
        """The settings as the context model sees them, before they are rounded to activations."""
        return self.step / 256 - 2, (self.knee > 0) * (0.5 + self.knee / 64)


class Scale:
    """The scale of one setting: coefficients to the values that quantising makes integers, and back."""

    def __init__(self, settings: Settings):
        self._step = STEPS[min(settings.step, LAST_STEP)]
        self._bend = 1 / KNEES[settings.knee] if settings.knee else 0.0  # one over the knee

    def compress(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients [...] to values v [...] of the same type."""
        number = coefficients.dtype.type
        ratio = coefficients / number(self._step)
        # The stable root of v + bend v^2 = |ratio|; without a knee v is the ratio.
        return 2 * ratio / (1 + np.sqrt(1 + 4 * number(self._bend) * np.abs(ratio)))

    def expand(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `compress`."""
        number = values.dtype.type
        return values * (1 + number(self._bend) * np.abs(values)) * number(self._step)


def reconstruct(integers: np.ndarray, kinds: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Values [...], float64, in the middle of what was coded as `integers`, given their kinds of distribution [...].

    An integer stands for an interval over which the density falls, so its mean lies nearer to zero.

    Args:
        centroids: corrections [scale, magnitude], in units of 2^-CENTROID_BITS.
    """
    magnitude = np.abs(integers)
    shift = centroids[kinds // WIDES, np.clip(magnitude - 1, 0, CENTROID_MAGNITUDES - 1)] * 2.0**-CENTROID_BITS
    return np.sign(integers) * (magnitude + shift)


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
