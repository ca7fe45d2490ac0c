"""Codes of pitch and phase to what the filters work on."""

from typing import NamedTuple

import numpy as np

from telucodec.noise import noise
from telucodec.vocoder.filters import KNOTS
from telucodec.vocoder.frames import HOP, STEP
from telucodec.vocoder.phase import PhaseCodes
from telucodec.vocoder.pitch import PitchCodes, PitchCourse
from telucodec.vocoder.source import PulseTrain


class Excited(NamedTuple):
    """What the codes of pitch and phase say about frames."""

    windows: np.ndarray  # [2 (pulses, noise), 2 * frames, 2 * STEP], two for each frame
    periodicity: np.ndarray  # [frames]
    angles: np.ndarray  # [frames, 2 spectra, KNOTS] in radians, added to the phases of the pulses


class Excitation:
    """One recording's way from codes to pulses and noise. Without a phase code the pulses run on, without any the pitch stays."""

    def __init__(self, pitch: PitchCodes, phase: PhaseCodes):
        self._pitch, self._phase, self._course = pitch, phase, PitchCourse(pitch)
        self._pulses, self._number = PulseTrain(), 0
        self._before, self._angles = np.zeros((2, STEP)), np.zeros((1, len(KNOTS)))

    def push(self, pitch: np.ndarray, phase: np.ndarray) -> Excited:
        """Codes [frames] of both codebooks, -1 where there is none."""
        turned = phase >= 0
        own = self._phase.angles[phase] * turned[:, None]
        angles = np.concatenate([self._angles, own])
        count = len(pitch) * HOP
        pulses = self._pulses.push(self._course.push(pitch), self._phase.turns[phase] * turned)
        line = np.concatenate([self._before, [pulses, noise(self._number, count)]], axis=1)
        self._number = (self._number + count) % 2**32
        self._before, self._angles = line[:, -STEP:], angles[-1:]
        windows = np.lib.stride_tricks.sliding_window_view(line, 2 * STEP, axis=1)[:, ::STEP]
        return Excited(windows, self._pitch.periodicities[pitch], np.stack([angles[:-1], own], axis=1))
