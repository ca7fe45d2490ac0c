"""The modified discrete cosine transform, the same to the last bit on every machine."""

import math

import numpy as np

SAMPLE_BITS, BASIS_BITS = 18, 20  # grids of samples and coefficients, and of the basis


def mdct_basis(hop: int) -> np.ndarray:
    """Windowed cosines [hop, 2 * hop], float64, of the orthonormal MDCT with a sine window.

    Source: Princen, Johnson and Bradley, "Subband/transform coding using filter bank designs based on time domain
    aliasing cancellation", ICASSP 1987.
    """
    sample = np.arange(2 * hop)
    frequency = np.arange(hop)[:, None]
    window = np.sin(math.pi * (sample + 0.5) / (2 * hop))
    phase = math.pi / hop * (sample + 0.5 + hop / 2) * (frequency + 0.5)
    return window * math.sqrt(2 / hop) * np.cos(phase)


class ExactMDCT:
    """The MDCT of one channel, frame by frame, in float64.

    Frame `t` covers the samples from `(t - 1) * hop` to `(t + 1) * hop`. Samples and coefficients are rounded to multiples of
    2^-18 and the basis to multiples of 2^-20, so that every product and sum is exact, in any order, for magnitudes up to 64.
    """

    def __init__(self, hop: int):
        self.hop = hop
        self._basis = on_grid(mdct_basis(hop), BASIS_BITS)

    def analyse(self, before: np.ndarray, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames [frames, hop] of whole hops of audio [frames * hop], which follow the samples `before` [hop].

        Returns the frames and the last hop, which comes before the next ones.
        """
        blocks = on_grid(np.concatenate([before, audio])).reshape(-1, self.hop)
        return np.concatenate([blocks[:-1], blocks[1:]], axis=1) @ self._basis.T, blocks[-1]

    def synthesise(self, overlap: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Audio [frames * hop] of frames [frames, hop], to whose first hop `overlap` [hop] is added.

        It lies one hop before the end of the frames. Returns the audio and the overlap with the next frames.
        """
        windowed = on_grid(frames) @ self._basis
        waiting = np.concatenate([overlap[None], windowed[:, self.hop :]])
        return (windowed[:, : self.hop] + waiting[:-1]).reshape(-1), waiting[-1]

    def silence(self) -> np.ndarray:
        """The state before the first sample, for either direction: [hop] zeros."""
        return np.zeros(self.hop)


def on_grid(x: np.ndarray, bits: int = SAMPLE_BITS) -> np.ndarray:
    """Values [...] rounded to multiples of 2^-bits, float64."""
    return np.rint(np.asarray(x, np.float64) * 2.0**bits) * 2.0**-bits
