"""Several channels as one: their mean, or the strongest where the mean would lose the speech."""

import numpy as np

CANCELLED = 0.5  # of the energy that the strongest channel alone would leave in the mean: with less, channels cancel
DEAD = 1e-5  # of the energy of the strongest channel


class Levels:
    """Sums over a recording, from which its channel is chosen. DC offsets do not count."""

    def __init__(self, channels: int):
        self._count = 0
        self._sums = np.zeros(channels + 1)  # of the channels and of their mean
        self._squares = np.zeros(channels + 1)

    def add(self, block: np.ndarray) -> None:
        """Count float32 samples [frames, channels]."""
        # Rows of samples are several times faster to add up than columns.
        rows = np.ascontiguousarray(block.T, np.float64)
        mean = rows.mean(axis=0) if len(rows) > 1 else rows[0]
        self._count += len(block)
        self._sums += [row.sum() for row in (*rows, mean)]
        self._squares += [np.square(row).sum() for row in (*rows, mean)]

    def channel(self) -> int | None:
        """The channel to take, counted from 0: the strongest if channels cancel or one is dead; None: the mean of all."""
        *energies, mixed = self._variances()
        strongest = int(np.argmax(energies))
        loudest, weakest = energies[strongest], min(energies)
        if len(energies) == 1 or loudest <= 0:
            return None
        cancels = mixed < CANCELLED * loudest / len(energies) ** 2
        return strongest if cancels or weakest < DEAD * loudest else None

    def rms(self) -> float:
        """Of all channels."""
        return float(np.sqrt(self._squares[:-1].mean() / max(self._count, 1)))

    def mono_rms(self) -> float:
        """Of what `mono` gives, without its DC offset."""
        channel = self.channel()
        return float(np.sqrt(self._variances()[-1 if channel is None else channel]))

    def _variances(self) -> np.ndarray:
        means = self._sums / max(self._count, 1)
        return np.maximum(self._squares / max(self._count, 1) - means**2, 0)


def mono(block: np.ndarray, channel: int | None) -> np.ndarray:
    """Samples [frames] of a block [frames, channels]."""
    return np.ascontiguousarray(block.mean(axis=1) if channel is None else block[:, channel])
