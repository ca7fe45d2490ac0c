"""How strong the noise is that stands for coefficients that were coded as zero, so that every band has its level."""

import numpy as np

from telucodec.mdct import on_grid
from telucodec.waveform.bands import Bands
from telucodec.waveform.grids import GROUP, LEVEL_RMS, LEVELS

LARGEST = 0.5  # steps; what is larger would not have been coded as zero
AUDIBLE = np.arange(LEVELS) > 0  # level 0 is silence


def amplitudes(
    coefficients: np.ndarray, likely: np.ndarray, steps: np.ndarray, levels: np.ndarray, bands: Bands
) -> np.ndarray:
    """The amplitude of noise where coefficients [frames, bins] are zero; elsewhere 0.

    A band's missing energy is shared out by how large zeros are likely to be: between harmonics they are smaller. The result is
    the same to the bit on every machine: all sums are exact, and what is left are single operations of IEEE 754.

    Args:
        coefficients: on the grid of the MDCT.
        likely: RMS [frames, bins] of what is coded as zero there.
        steps: [frames, bins].
        levels: [groups, BANDS].
    """
    likely = on_grid(np.where(coefficients == 0, likely, 0.0))
    groups = np.arange(len(coefficients)) // GROUP
    wanted = np.square(LEVEL_RMS * AUDIBLE)[levels][groups] * bands.sizes
    missing = np.maximum(wanted - np.square(coefficients) @ bands.members, 0.0)
    there = np.square(likely) @ bands.members
    gain = np.sqrt(np.divide(missing, there, out=np.zeros_like(missing), where=there > 0))
    return np.minimum(gain @ bands.members.T * likely, LARGEST * steps)
