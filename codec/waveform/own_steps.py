"""The steps of packets that have their own: each is coded as its distance from the one before."""

import numpy as np

from telucodec.errors import DamagedPacketError
from telucodec.waveform.entropy import NOT_WRITTEN
from telucodec.waveform.grids import LAST_STEP

UNIT = 16  # steps: 1.5 dB
FARTHEST = LAST_STEP // UNIT  # units up or down
_distance = np.abs(np.arange(-FARTHEST, FARTHEST + 1))
SYMBOLS = len(_distance)
FREQUENCIES = (4096 // np.square(1 + _distance) + 1).astype(np.float32)  # of all distances, from the farthest down


def symbols(before: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Steps [packets] to symbols, int32; they lie whole units from the steps before."""
    return ((steps - before) // UNIT + FARTHEST).astype(np.int32)


def steps(before: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """The inverse of `symbols`.

    Raises:
        DamagedPacketError: there is no such step.
    """
    found = before + (symbols - FARTHEST) * UNIT
    if (found < 0).any() or (found > LAST_STEP).any():
        raise DamagedPacketError(NOT_WRITTEN)
    return found
