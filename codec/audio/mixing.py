"""Several channels as one: their mean, or one of them where the mean would lose speech."""

import numpy as np

from telucodec.audio.spool import Rows

CANCELLED = 0.5  # of the energy that the strongest channel alone would leave in the mean: a second with less is lost
PAUSE = 1e-3  # of the recording's energy: a second with less holds no speech
DEAD = 1e-5  # of the energy of the strongest channel


class Levels:
    """Energies of a recording and of each of its seconds, from which its channel is chosen. DC offsets do not count."""

    def __init__(self, channels: int, rate: int):
        self._rate, self._count = rate, 0
        self._whole = np.zeros((2, channels + 1))  # sums, and of squares, of the channels and of their mean
        self._second = np.zeros((2, channels + 1))  # the same of the second that is not complete
        self._seconds = Rows(np.float64, channels + 1)  # variances

    def add(self, block: np.ndarray) -> None:
        """Count float32 samples [frames, channels]."""
        # Rows of samples are several times faster to add up than columns.
        rows = np.ascontiguousarray(block.T, np.float64)
        mean = rows.mean(axis=0) if len(rows) > 1 else rows[0]
        start = 0
        while start < len(block):
            stop = min(start + self._rate - self._count % self._rate, len(block))
            stretches = [row[start:stop] for row in (*rows, mean)]
            moments = np.array([[row.sum() for row in stretches], [row @ row for row in stretches]])
            self._whole += moments
            self._second += moments
            self._count += stop - start
            if self._count % self._rate == 0:
                self._seconds.append(_variances(self._second, self._rate)[None])
                self._second[:] = 0
            start = stop

    def channel(self) -> int | None:
        """The channel to take, counted from 0; None: the mean of all.

        It is the mean unless that loses more seconds of speech than one channel alone, as where channels are in opposite phase,
        or a channel is dead. Of two people, each in a channel, the mean loses neither.
        """
        channels = self._whole.shape[1] - 1
        if channels == 1:
            return None
        seconds = self._seconds[:]
        rest = self._count % self._rate
        if 2 * rest >= self._rate or not len(seconds):  # less may cancel by chance
            seconds = np.concatenate([seconds, _variances(self._second, rest)[None]])
        energies = seconds[:, :-1]
        loudest = energies.max(axis=1)
        if not loudest.any():
            return None
        is_lost = seconds < CANCELLED * loudest[:, None] / channels**2
        *lost, lost_by_mean = is_lost[loudest >= PAUSE * loudest.mean()].sum(axis=0)
        totals = energies.sum(axis=0)
        best = min(range(channels), key=lambda channel: (lost[channel], -totals[channel]))
        has_dead = totals.min() < DEAD * totals.max()
        return best if lost[best] < lost_by_mean or (has_dead and lost[best] == lost_by_mean) else None

    def rms(self) -> float:
        """Of all channels."""
        return float(np.sqrt(self._whole[1, :-1].mean() / max(self._count, 1)))

    def mono_rms(self) -> float:
        """Of what `mono` gives, without its DC offset."""
        channel = self.channel()
        return float(np.sqrt(_variances(self._whole, self._count)[-1 if channel is None else channel]))


def _variances(moments: np.ndarray, count: int) -> np.ndarray:
    means, squares = moments / max(count, 1)
    return np.maximum(squares - means**2, 0)


def mono(block: np.ndarray, channel: int | None) -> np.ndarray:
    """Samples [frames] of a block [frames, channels]."""
    if block.shape[1] == 1:
        channel = 0
    return np.ascontiguousarray(block.mean(axis=1) if channel is None else block[:, channel])
