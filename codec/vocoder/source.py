"""A pulse train at the pitch, and noise."""

from typing import Any

import numpy as np

from telucodec.vocoder.frames import HOP, SAMPLE_RATE, STEP
from telucodec.vocoder.pitch import Track

HIGHEST_HARMONIC = 7800.0  # Hz
NEAR_PULSE = 1e-6  # rad: there, the sum of the harmonics is their number

Number = Any  # float or array


class PulseTrain:
    """One recording's harmonics, all of the same strength, with the power density of white noise of variance 1 on average."""

    def __init__(self) -> None:
        self._phase = 0.0  # cycles

    def push(self, track: Track, turns: np.ndarray) -> np.ndarray:
        """The pitch of frames and turns [frames] in cycles to samples [frames * HOP].

        The middle of a frame's samples is the middle of the last window that it was analysed in. Over them the pitch changes
        linearly; the turn is complete in the middle. Where speech becomes voiced, the phase starts at 0: a decoder that has
        lost a frame is right again from there.
        """
        before, after, count = track.before[:, None], track.after[:, None], np.arange(1, HOP + 1)
        whole = cycles(track.before, track.after, HOP) + turns
        done = np.cumsum(whole) - whole
        last = np.maximum.accumulate(np.where(track.onset, np.arange(len(turns)), -1))
        starts = done + np.where(last < 0, self._phase, -done[last])
        phase = starts[:, None] + cycles(before, after, count) + turns[:, None] * np.minimum(count / STEP, 1)
        self._phase = float(starts[-1] + whole[-1]) % 1.0
        pitch = (before + (after - before) * count / HOP).reshape(-1)
        angle = 2 * np.pi * (phase.reshape(-1) % 1.0)
        return np.sqrt(2 * pitch / (SAMPLE_RATE / 2)) * _harmonics(angle, HIGHEST_HARMONIC / pitch)


def cycles(before: Number, after: Number, count: Number) -> Number:
    """The cycles in the first `count` samples of a frame, while the pitch changes from `before` to `after` Hz."""
    return (count * before + (after - before) * count * (count + 1) / (2 * HOP)) / SAMPLE_RATE


def _harmonics(phase: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The sum of cos(k * phase) for k from 1 to count; of the last one, a fraction: so none appears suddenly."""
    whole = np.floor(count)
    half = np.sin(phase / 2)
    pulse = np.abs(half) < NEAR_PULSE
    closed = np.sin((whole + 0.5) * phase) / (2 * np.where(pulse, 1, half)) - 0.5
    return np.where(pulse, whole, closed) + (count - whole) * np.cos((whole + 1) * phase)
