"""The spectrum between and around the harmonics."""

import numpy as np

from telucodec.vocoder.frames import SAMPLE_RATE, WINDOW

POINTS = 64  # frequencies at which a spectrum is described
BAND = 50.0, 7600.0  # Hz, the first and the last of them
FLOOR = 3e-8  # added to the power density, which is 1 for white noise of variance 1
PERIODS = 3.0  # in the window: with three, the level does not depend on where the pulses lie
WIDTH = 2 / 3  # of the distance of harmonics, over which the power is averaged
RECOVERY = 0.15  # how much of what the averages blur is sharpened again
FFT = 1024
BINS = SAMPLE_RATE / FFT  # Hz from one to the next
MARGIN = 64  # bins by which a spectrum is continued, mirrored, at both ends


def mel(frequency: np.ndarray | float) -> np.ndarray:
    """Hz to mel (O'Shaughnessy, "Speech communication", 1987)."""
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)


def centres(count: int) -> np.ndarray:
    """Frequencies [count] in Hz, evenly spaced in mel over BAND."""
    return 700 * (10 ** (np.linspace(mel(BAND[0]), mel(BAND[1]), count) / 2595) - 1)


def between(frequencies: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Weights [known, ...] of values at known frequencies for those at others [...]: linear over mel, constant outside."""
    places = np.interp(mel(frequencies), mel(known), np.arange(len(known)))
    return np.clip(1 - np.abs(places - np.arange(len(known)).reshape(-1, *[1] * places.ndim)), 0, 1)


def envelope(segments: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """The levels of the spectrum of segments [count, WINDOW] around their middles, in nepers: [count, POINTS].

    Source: CheapTrick (Morise, Speech Communication 67, 2015).

    Args:
        frequency: [count], the pitch in Hz. Three of its periods are looked at, and the spectrum is averaged over harmonics, so
            that it shows none of them.
    """
    # What depends on the pitch alone is computed once for each.
    pitches, which = np.unique(frequency, return_inverse=True)
    shape = window(pitches[:, None])[which]
    seen = segments * shape
    seen -= shape * (seen.sum(1, keepdims=True) / shape.sum(1, keepdims=True))  # no direct current
    power = _filled(np.square(np.abs(np.fft.rfft(seen, FFT))), frequency)
    logarithms = np.log(_averages(power, WIDTH * frequency) + FLOOR)
    cepstrum = np.fft.irfft(logarithms, FFT)
    smooth = np.fft.rfft(cepstrum * lifter(pitches[:, None])[which]).real
    places = centres(POINTS) / BINS
    below = places.astype(np.int64)
    part = places - below
    return 0.5 * (smooth[:, below] * (1 - part) + smooth[:, below + 1] * part)


def window(frequency: np.ndarray) -> np.ndarray:
    """Windows [count, WINDOW] of PERIODS periods of pitches [count, 1], each with an energy of 1."""
    place = np.arange(WINDOW) - WINDOW / 2 + 0.5
    half = np.minimum(PERIODS / 2 * SAMPLE_RATE / frequency, WINDOW / 2)
    shape = np.where(np.abs(place) < half, 0.5 + 0.5 * np.cos(np.pi * place / half), 0)
    return shape / np.sqrt(np.square(shape).sum(1, keepdims=True))


def lifter(frequency: np.ndarray) -> np.ndarray:
    """Factors [count, FFT] for cepstra: they take out what is left of harmonics, and undo some of the averages' blur."""
    cycles = np.minimum(np.arange(FFT), FFT - np.arange(FFT)) / SAMPLE_RATE * frequency
    return np.sinc(cycles) * (1 + 2 * RECOVERY - 2 * RECOVERY * np.cos(2 * np.pi * cycles))


def _filled(power: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Power spectra [count, bins] in which what lies between 0 Hz and the pitch mirrors what lies above."""
    end = int(frequency.max() / BINS) + 1
    mirrored = frequency[:, None] / BINS - np.arange(end)
    power[:, :end] += np.where(mirrored > 0, interpolated(power, np.maximum(mirrored, 0)), 0)
    return power


def _averages(power: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The means of power spectra [count, bins] over a width [count] in Hz around each bin."""
    count, bins = power.shape
    mirrored = np.concatenate([power[:, MARGIN:0:-1], power, power[:, -2 : -MARGIN - 2 : -1]], axis=1)
    sums = np.concatenate([np.zeros((count, 1)), np.cumsum(mirrored, axis=1)], axis=1)
    stretches = np.lib.stride_tricks.sliding_window_view(sums, bins + 1, axis=1)

    def up_to(place: np.ndarray) -> np.ndarray:
        """The sums up to places [count], and up to those that lie whole bins above."""
        below = place.astype(np.int64)
        part = (place - below)[:, None]
        found = stretches[np.arange(count), below]
        return found[:, :-1] * (1 - part) + found[:, 1:] * part

    start = MARGIN + 0.5 - width / BINS / 2
    return np.maximum(up_to(start + width / BINS) - up_to(start), 0) / (width / BINS)[:, None]


def interpolated(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values of rows [count, length] at places [count, ...] between their elements."""
    below = np.minimum(places.astype(np.int64), rows.shape[1] - 2)
    part = np.minimum(places - below, 1)
    return np.take_along_axis(rows, below, 1) * (1 - part) + np.take_along_axis(rows, below + 1, 1) * part
