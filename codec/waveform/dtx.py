"""Discontinuous transmission (DTX): in pauses nothing is sent, and the decoder goes on with noise like that of the background.

A packet all of whose integers are zero is heard as noise alone, and what comes after it may be left out: a decoder that
misses a packet there makes comfort noise. So no packet announces a pause, and one that is lost in a pause does no harm.
"""

from collections import deque

import numpy as np

from telucodec.files.header import MOST_LEFT_OUT
from telucodec.waveform.bands import Bands
from telucodec.waveform.grids import LEVEL_RMS
from telucodec.waveform.restoration import Decoded

REMEMBERED = 14  # frames of noise, 210 ms
RESUMES = b"\0"  # at the end of a payload that starts afresh, though its number is not that of a key packet; else none ends so
NEAR_BAND = 9.8  # dB by which noise may differ from the background in any band: two levels
NEAR = 3.0  # dB by which it may in the mean of all bands
INAUDIBLE = float(LEVEL_RMS[2]) ** 2  # mean energy of coefficients


class Background:
    """The noise of the last packets that were sent, as long as they hold nothing else."""

    def __init__(self) -> None:
        self._energies: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._steps: deque[np.ndarray] = deque(maxlen=REMEMBERED)

    def push(self, frames: Decoded) -> None:
        """A packet that was sent."""
        if frames.coefficients.any():
            self._energies.clear()
            self._steps.clear()
        else:
            self._energies.extend(np.square(frames.amplitude))
            self._steps.extend(frames.steps)

    @property
    def is_known(self) -> bool:
        """Whether the next packet may be left out."""
        return bool(self._energies)

    @property
    def is_steady(self) -> bool:
        """Whether there was time enough to get to know it."""
        return len(self._energies) == REMEMBERED

    @property
    def energy(self) -> np.ndarray:
        """The mean energy of each bin [bins]."""
        return _mean(self._energies)

    def noise(self, count: int) -> Decoded:
        """So many frames of comfort noise. All operations are single ones of IEEE 754 in a fixed order."""
        steps = _mean(self._steps)
        frames = count, len(steps)
        amplitude = np.broadcast_to(np.sqrt(self.energy), frames)
        return Decoded(np.zeros(frames), amplitude, np.broadcast_to(steps, frames))


def _mean(rows: deque[np.ndarray]) -> np.ndarray:
    return sum(rows, np.zeros(rows[0].shape)) / len(rows)


class PauseDetector:
    """Says which packets an encoder leaves out."""

    def __init__(self, bands: Bands):
        self._bands, self._background = bands, Background()
        self._left_out = 0  # in a row

    def leaves_out(self, frames: Decoded) -> bool:
        """Whether the next packet, which holds `frames`, is like the background; if not, it must be sent.

        Every now and then one is sent all the same, so that the decoder's noise follows that of the speaker.
        """
        if self._left_out < MOST_LEFT_OUT and self._background.is_steady and self._is_background(frames):
            self._left_out += 1
            return True
        self._left_out = 0
        self._background.push(frames)
        return False

    def _is_background(self, frames: Decoded) -> bool:
        """Whether there is noise alone, in every band about as strong as before."""
        if frames.coefficients.any():
            return False
        now, before = (
            energy @ self._bands.members / self._bands.sizes + INAUDIBLE
            for energy in (np.square(frames.amplitude).mean(0), self._background.energy)
        )
        difference = 10 * np.log10(now / before)
        return bool(np.abs(difference).max() <= NEAR_BAND and abs(difference.mean()) <= NEAR)
