"""Bjøntegaard-delta rate: the bits that one codec saves against another at equal quality (ITU-T VCEG-M33, 2001).

The logarithm of the rate is interpolated over quality by monotone cubics, as JCT-VC does since 2013, and the difference is
averaged over the qualities that both curves reach.
"""

from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

RESAMPLES = 1000
CONFIDENCE = 0.95


class Curves(NamedTuple):
    """Rate and quality of a codec for every clip at its operating points."""

    kbps: np.ndarray  # [clips, points]
    quality: np.ndarray  # [clips, points], higher is better

    def means(self, clips: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Rate and quality of each point, means over clips."""
        return self.kbps[clips].mean(axis=0), self.quality[clips].mean(axis=0)


class Saving(NamedTuple):
    """Change of the rate in percent (-50: half the bits), its confidence interval, and the range of quality it covers."""

    percent: float
    low: float
    high: float
    quality_from: float
    quality_to: float


def rate_change(
    curve: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float, float]:
    """Mean change of the rate, in percent, of a curve (kbps, quality) against a reference, and the range of quality.

    Raises:
        ValueError: the curves have no quality in common, or one does not rise with its rate.
    """
    first, second = _interpolated(*curve), _interpolated(*reference)
    low, high = max(first.x[0], second.x[0]), min(first.x[-1], second.x[-1])
    if not low < high:
        raise ValueError(
            f"the curves have no quality in common: {first.x[0]:.2f} to {first.x[-1]:.2f} and "
            f"{second.x[0]:.2f} to {second.x[-1]:.2f}"
        )
    difference = (first.integrate(low, high) - second.integrate(low, high)) / (high - low)
    return 100 * float(np.expm1(difference)), float(low), float(high)


def _interpolated(kbps: np.ndarray, quality: np.ndarray) -> PchipInterpolator:
    order = np.argsort(kbps)
    kbps, quality = kbps[order], quality[order]
    if len(kbps) < 2 or not (np.diff(quality) > 0).all():
        raise ValueError(f"quality must rise with the rate, got {np.round(quality, 3).tolist()}")
    return PchipInterpolator(quality, np.log(kbps))


def saving(ours: Curves, reference: Curves, seed: int = 0) -> Saving:
    """The change of the rate over clips that both coded, with a percentile bootstrap over clips (Efron 1979).

    Raises:
        ValueError: as `rate_change`, or the numbers of clips differ.
    """
    clips = len(ours.kbps)
    if clips != len(reference.kbps):
        raise ValueError(f"{clips} clips against {len(reference.kbps)}")
    percent, low, high = rate_change(ours.means(), reference.means())
    random, changes = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        sample = random.integers(0, clips, clips)
        try:
            changes.append(rate_change(ours.means(sample), reference.means(sample))[0])
        except ValueError:  # a sample whose curves do not rise or meet yields no rate
            continue
    tail = 50 * (1 - CONFIDENCE)
    least, most = (float(value) for value in np.percentile(changes, [tail, 100 - tail]))
    return Saving(percent, least, most, low, high)
