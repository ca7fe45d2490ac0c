"""Pulses and noise through filters to speech.

The functions take NumPy arrays, or tensors with `xp=torch`: training differentiates what the runtime computes.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from telucodec.vocoder.envelope import FLOOR, POINTS, between, centres
from telucodec.vocoder.frames import SAMPLE_RATE, STEP

FFT = 4 * STEP  # a window of two STEPs, and as much room for what the filters add after it
FADED = 1e-12  # least power of a filter
QUIET, LOUD = -8.0, 4.0  # nepers, limits of a correction
SHARES = 0.001, 0.999  # limits of the periodic share of the power
# Hz, where phases are described.
KNOTS = np.array([80, 160, 240, 320, 400, 500, 600, 700, 850, 1000, 1200, 1400, 1700.0])
OUTPUTS = 2 * (2 * POINTS + len(KNOTS))  # of both spectra: corrections of pulses' and noise's levels, and of phases
FULL, GONE = 2000.0, 7000.0  # Hz: before training, the periodic share falls from the one to the other

Array = Any  # numpy.ndarray or torch.Tensor


class Tables(NamedTuple):
    """Constants of the synthesis."""

    bins: Array  # [POINTS, bins], levels in the bins of the FFT
    phases: Array  # [POINTS, bins], levels to the phases of the filter of minimum phase
    knots: Array  # [KNOTS, bins], phases in the bins
    slope: Array  # [POINTS], how the periodic share falls with frequency
    window: Array  # [2 * STEP]


@functools.cache
def tables() -> Tables:
    """The constants, float64."""
    frequencies = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    bins = between(frequencies, centres(POINTS))
    # The phase of a minimum-phase filter is the Hilbert transform of its level: the cepstrum folded to positive times.
    fold = np.zeros(FFT)
    fold[1 : FFT // 2], fold[FFT // 2 + 1 :] = 1, -1
    phases = np.fft.rfft(np.fft.irfft(bins, FFT) * fold).imag
    slope = np.clip((GONE - centres(POINTS)) / (GONE - FULL), 0, 1)
    return Tables(bins, phases, between(frequencies, KNOTS), slope, np.hanning(2 * STEP + 1)[:-1])


class Filters(NamedTuple):
    """Of each window."""

    pulse_levels: Array  # [..., windows, POINTS], nepers
    noise_levels: Array
    pulse_phases: Array  # [..., windows, bins], radians


def filters(
    xp: Any, constants: Tables, spectra: Array, periodicity: Array, angles: Array, corrections: Array
) -> Filters:
    """The filters of frames, two windows each.

    Args:
        spectra: [..., frames, 2 * POINTS], as `SpeechAnalysis` describes speech.
        periodicity: [..., frames].
        angles: [..., frames, 2 spectra, KNOTS] in radians.
        corrections: [..., frames, OUTPUTS], of these levels in nepers and of the angles.
    """
    windows = *spectra.shape[:-2], 2 * spectra.shape[-2]
    both = spectra.reshape(*windows, POINTS)
    corrections = corrections.reshape(*windows, 2 * POINTS + len(KNOTS))
    of_levels, of_angles = corrections[..., : 2 * POINTS].clip(QUIET, LOUD), corrections[..., 2 * POINTS :]
    power = (xp.exp(2 * both) - FLOOR).clip(FADED)
    share = (periodicity[..., None] * constants.slope).clip(*SHARES)
    share = xp.stack([share, share], -2).reshape(*windows, POINTS)
    phases = both @ constants.phases + (angles.reshape(*windows, len(KNOTS)) + of_angles) @ constants.knots
    return Filters(
        0.5 * xp.log(power * share) + of_levels[..., :POINTS],
        0.5 * xp.log(power * (1 - share)) + of_levels[..., POINTS:],
        phases,
    )


def filtered(xp: Any, constants: Tables, sources: Array, by: Filters, waiting: Array) -> tuple[Array, Array]:
    """Speech of windows of pulses and noise.

    Args:
        sources: [2 (pulses, noise), ..., windows, 2 * STEP].
        by: their filters.
        waiting: [..., 3, STEP], what earlier windows add to the next samples.

    Returns:
        Samples [..., windows * STEP], the first of them the first ones of the first window, and `waiting` for the next call.
    """
    pulses, noises = xp.fft.rfft(sources * constants.window, FFT)
    pulses = pulses * xp.exp(by.pulse_levels @ constants.bins + 1j * by.pulse_phases)
    spectrum = pulses + noises * xp.exp(by.noise_levels @ constants.bins)
    frames = xp.fft.irfft(spectrum, FFT)
    parts = frames.reshape(*frames.shape[:-1], 4, STEP)
    nothing = waiting * 0
    line = xp.concatenate([waiting, parts[..., 0, :] * 0], -2)  # [..., windows + 3, STEP]
    for part in range(4):
        line = line + xp.concatenate([nothing[..., :part, :], parts[..., part, :], nothing[..., part:, :]], -2)
    done = line[..., : parts.shape[-3], :]
    return done.reshape(*done.shape[:-2], -1), line[..., parts.shape[-3] :, :]
