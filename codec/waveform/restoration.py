"""What a decoder makes of the coefficients that it has read: noise in empty places, and the enhancer."""

from typing import NamedTuple

import numpy as np

from telucodec.noise import noise
from telucodec.waveform.enhancer import EnhancerEngine


class Decoded(NamedTuple):
    """Frames [frames, hop] as they were read."""

    coefficients: np.ndarray  # float64
    amplitude: np.ndarray  # of noise where the coefficient is 0; elsewhere 0
    steps: np.ndarray


class Restoration:
    """One recording's way from what was read to what is heard. Where all steps are equal, that is the same.

    Noise is the same on every machine; the enhancer computes in floating point and is not.
    """

    def __init__(self, enhancer: EnhancerEngine | None, noisy: bool):
        """`noisy`: steps follow the envelope, and noise stands for zeros; `enhancer` None: as it is."""
        self._enhancer, self._noisy = enhancer, noisy
        self._past = enhancer.start() if enhancer else []
        self._number = 0  # of the next coefficient: it says which noise it gets

    def push(self, frames: Decoded) -> np.ndarray:
        """The next frames to coefficients [frames, hop], float64."""
        coefficients, amplitude, steps = frames
        if not self._noisy:
            return coefficients
        signs = noise(self._number, coefficients.size).reshape(coefficients.shape)
        self._number += coefficients.size
        if self._enhancer is None:
            return coefficients + amplitude * signs
        enhanced, self._past = self._enhancer.run(coefficients, amplitude * signs, steps, self._past)
        return enhanced

    def skip(self, coefficients: int) -> None:
        """So many coefficients are lost: later ones get the noise of their place; the enhancer goes on from before the loss."""
        self._number += coefficients
