"""The search for the codewords of energies, frame by frame: each is predicted from the codewords before it."""

import numpy as np


class EnergySearch:
    """One recording's way through the energy quantiser (`telucodec.networks.tokens.energies`)."""

    def __init__(self, codebook: np.ndarray, taps: np.ndarray):
        """`codebook` is [codebook_size, bands]; `taps` [frames, bands] weighs earlier codewords, the last frame first."""
        self._codebook, self._taps = codebook, taps
        self._products, self._norms = np.ascontiguousarray(-2 * codebook.T), np.square(codebook).sum(1)
        self._past = np.zeros_like(taps)

    def push(self, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energies [frames, bands] to their codes [frames], int64, and the squared errors [frames] without and with these."""
        targets = np.empty_like(energies)
        codes = np.empty(len(energies), np.int64)
        for frame, energy in enumerate(energies):
            target = targets[frame] = energy - (self._past * self._taps).sum(0)
            code = codes[frame] = (target @ self._products + self._norms).argmin()
            self._past = np.concatenate([self._codebook[code][None], self._past[:-1]])
        missed = np.square(targets - self._codebook[codes]).sum(1)
        return codes, np.square(targets).sum(1), missed
