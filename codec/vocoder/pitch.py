"""The first codebook: pitch and periodicity of each frame."""

import functools
from typing import NamedTuple

import numpy as np

from telucodec.vocoder.frames import SAMPLE_RATE, WINDOW

LOWEST, HIGHEST = 60.0, 500.0  # Hz
PERIODICITIES = 0.0, 0.99, 1.0, 1.0  # the share of the pulses in the four classes, before training
LIMITS = 0.38, 0.6, 0.8  # between the classes
PLACES = 16  # values that describe a pitch to networks

FFT = 2048
SCALE = 2  # values of an autocorrelation per sample
EXPONENT = 0.7  # of the power spectrum: 1 is the autocorrelation, less flattens formants
BAND = 40.0, 60.0, 1500.0, 2000.0  # Hz: the correlation uses what lies between, and fades at both ends
PREFERENCE = 0.02  # of a pitch over the one an octave below, which is as periodic
MOVE, FREE, JUMP = 0.3, 0.03, 0.3  # price of a change: per octave beyond FREE octaves, at most JUMP
FORGOTTEN = -2.0  # candidates as bad as this are all alike
ENERGY = 0.375 * WINDOW  # of the window: the mean square of a spectrum over that of the samples
LOUD, RANGE = -70.0, 40.0  # dB: frames count from 0.05 at LOUD to 1 at RANGE above


class PitchCodes:
    """The codewords of the first codebook: four classes of periodicity for each of codebook_size / 4 pitches.

    Args:
        codebook_size: at least 8.
    """

    def __init__(self, codebook_size: int):
        count = codebook_size // len(PERIODICITIES)
        grid = LOWEST * (HIGHEST / LOWEST) ** (np.arange(count) / (count - 1))
        codes = np.minimum(np.arange(codebook_size), count * len(PERIODICITIES) - 1)
        self.grid = grid  # [pitches], Hz
        self.frequencies = grid[codes // len(PERIODICITIES)]  # [codebook_size], Hz
        self.periodicities = np.array(PERIODICITIES)[codes % len(PERIODICITIES)]  # [codebook_size]
        place = np.log(self.frequencies / LOWEST) / np.log(HIGHEST / LOWEST) * (PLACES - 1)
        tents = np.clip(1 - np.abs(place[:, None] - np.arange(PLACES)), 0, 1)
        classes = np.eye(len(PERIODICITIES))[codes % len(PERIODICITIES)]
        self.descriptions = np.concatenate([tents, classes], axis=1).astype(np.float32)  # [codebook_size, PLACES + 4]


DESCRIPTION = PLACES + len(PERIODICITIES)


class PitchTracker:
    """Finds the codes of one recording.

    In each frame, every pitch has a periodicity: the autocorrelation at its period, of a flattened spectrum (Tolonen and
    Karjalainen, IEEE Trans. Speech and Audio Processing 8, 2000), over that of the window (Boersma, Proc. IFA 17, 1993).
    Jumps have a price: the best path through the frames so far leads to the pitch. In frames without one, the last one stays.
    """

    def __init__(self, codes: PitchCodes):
        self._grid = codes.grid
        self._price, self._preference = prices(codes.grid)
        self._best, self._held = np.zeros(len(codes.grid)), 0

    def push(self, spectra: np.ndarray) -> np.ndarray:
        """Spectra [frames, FFT / 2 + 1] of windows, from `spectra`, to codes [frames], int64."""
        strength = periodicity(spectra, self._grid)
        level = 10 * np.log10(np.square(np.abs(spectra)).mean(1) / ENERGY + 1e-12)
        weight = np.clip((level - LOUD) / RANGE, 0.05, 1) * (level > LOUD)
        scores = (np.maximum(strength, 0) + self._preference) * weight[:, None]
        codes = np.empty(len(scores), np.int64)
        for frame, score in enumerate(scores):
            self._best = score + (self._best - self._price).max(1)
            self._best = np.maximum(self._best - self._best.max(), FORGOTTEN)
            found = int(self._best.argmax())
            kind = int(np.searchsorted(LIMITS, strength[frame, found])) if weight[frame] else 0
            self._held = found if kind else self._held
            codes[frame] = self._held * len(PERIODICITIES) + kind
        return codes


def prices(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For pitches [pitches] in Hz, the prices [pitches, pitches] of jumps between them, and what speaks for each [pitches]."""
    octaves = np.abs(np.log2(grid[:, None] / grid))
    return np.minimum(MOVE * np.maximum(octaves - FREE, 0), JUMP), PREFERENCE * np.log2(grid / LOWEST)


def spectra(segments: np.ndarray) -> np.ndarray:
    """The spectra [frames, FFT / 2 + 1] of segments [frames, WINDOW] in a Hann window."""
    return np.fft.rfft(segments * window(), FFT)


def periodicity(spectra: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """How periodic speech with these spectra is at each of the frequencies [pitches], in Hz: [frames, pitches], up to about 1."""
    return _at_lags(np.abs(spectra) ** (2 * EXPONENT) * band(), grid) / own_periodicity(grid)


def own_periodicity(grid: np.ndarray) -> np.ndarray:
    """What `periodicity` of perfectly periodic speech would be without dividing by it: [pitches]."""
    own = _at_lags(np.square(np.abs(np.fft.rfft(window(), FFT))), grid)
    return np.maximum(own, 0.3) ** EXPONENT


def lags(grid: np.ndarray) -> np.ndarray:
    """The periods of frequencies [pitches] in Hz as places in an autocorrelation with SCALE values a sample."""
    return SAMPLE_RATE / grid * SCALE


def _at_lags(powers: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Of power spectra [..., FFT / 2 + 1] the autocorrelation, which is 1 at 0, at the periods of a grid: [..., pitches]."""
    places = lags(grid)
    below = places.astype(np.int64)
    part = places - below
    line = np.fft.irfft(powers, SCALE * FFT)
    line = line / np.maximum(line[..., :1], 1e-20)
    return line[..., below] * (1 - part) + line[..., below + 1] * part


@functools.cache
def window() -> np.ndarray:
    return np.hanning(WINDOW + 1)[:-1]


@functools.cache
def band() -> np.ndarray:
    frequency = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    start, full, fades, end = BAND
    return np.clip((frequency - start) / (full - start), 0, 1) * np.clip((end - frequency) / (end - fades), 0, 1)


class Track(NamedTuple):
    """The course of the pitch over frames."""

    before: np.ndarray  # [frames], Hz, at the start of a frame
    after: np.ndarray  # [frames], Hz, at its end
    voiced: np.ndarray  # [frames], bool
    onset: np.ndarray  # [frames], bool: the first with a pitch after one without


class PitchCourse:
    """One recording's pitch from its codes: it changes linearly within a frame, and starts anew where there was none."""

    def __init__(self, codes: PitchCodes):
        self._codes, self._held, self._voiced = codes, 0, False

    def push(self, pitch: np.ndarray) -> Track:
        """Codes [frames] of `PitchCodes`; -1, for no code, keeps the last pitch and is not voiced."""
        line = np.concatenate([[self._held], pitch])
        line = line[np.maximum.accumulate(np.where(line >= 0, np.arange(len(line)), 0))]
        voiced = (pitch >= 0) & (pitch % len(PERIODICITIES) > 0)
        onset = voiced & ~np.concatenate([[self._voiced], voiced[:-1]])
        self._held, self._voiced = int(line[-1]), bool(voiced[-1])
        frequencies = self._codes.frequencies[line]
        return Track(np.where(onset, frequencies[1:], frequencies[:-1]), frequencies[1:], voiced, onset)
