"""The grids that steps, levels, scales and corrections of the waveform codec lie on, in training and in files."""

import math

import numpy as np

STEPS_PER_OCTAVE = 64
LAST_STEP = 16 * STEPS_PER_OCTAVE - 1
PRICE = 0.1  # squared steps that a bit is worth: about the slope of distortion over rate
CENTROID_BITS = 6  # a correction is a multiple of 2^-6 steps
CENTROID_MAGNITUDES = 4  # 0, 1, 2, and 3 or more

# Levels of bands, which steps and noise follow (`telucodec.waveform.bands`).
GROUP = 2  # frames that share their levels
EDGES = 0, 8, 16, 24, 32, 40, 49, 60, 73, 89, 108, 132, 161, 197, 240  # of the bands, in 240ths of all bins
BANDS = len(EDGES) - 1
LEVELS = 24  # level n is an RMS of 2^((n - UNITY) * LEVEL_UNIT / 64) and 0 is silence
LEVEL_UNIT, UNITY = 52, 20  # 4.9 dB
PIVOT = 12  # where the level is this one, the step is that of the settings
LAST_SHAPING = 16  # with shaping n, steps are proportional to the envelope to the power n / 16; 0: all steps are equal
FULL_SHAPING = 8  # at perception 1
LEVEL_PASSES = slice(0, None, 2), slice(1, None, 2)  # bands of each pass over the levels of a group
UNKNOWN = -1  # in the place of levels before the start of a packet
LEVEL_HISTORY = 3  # groups whose levels say how likely the next ones are

# The enhancer.
INPUTS, OUTPUTS = 3, 3  # for each bin
FLOOR_OCTAVES, OCTAVE_INPUT = -16, 0.25  # inputs are 2 + OCTAVE_INPUT * log2(magnitude + 2^FLOOR_OCTAVES)
CODED_OCTAVES, NOISE_OCTAVES = 2.0, 3.0  # the most that coded coefficients, and noise, are amplified or attenuated
ADDED = 0.25  # steps: the most that is added to noise

# The context model.
PASSES = (slice(0, None, 4), slice(2, None, 4), slice(1, None, 2))  # coefficients of each pass
KNOWN = (None, slice(0, None, 4), slice(0, None, 2))  # those that earlier passes have decoded
LARGEST = 2047  # magnitude up to which the network tells integers apart
AGE_LIMIT = 15
CONDITIONS = 2  # how the packet was quantised
RECENT = 3  # frames whose coefficients the network sees one by one

# Distributions: a random sign times a magnitude, from a narrow and a three times wider logistic distribution.
SCALE_BITS, SCALE_LOW, SCALE_HIGH = 3, -40, 56  # log2 of the scale in steps, in eighths: 2^-5 to 2^7
SCALES = SCALE_HIGH - SCALE_LOW + 1
WIDE_BITS, WIDE_HIGH = 3, 4  # weight of the wide component, in eighths: 0 to a half
WIDES = WIDE_HIGH + 1
COARSE = 16  # scales above 2^(16/8) steps: the lowest bits of a value are coded as they come
REACH = 31  # symbols -31 to 31; at either end an escape code tells how far beyond

# For each kind of distribution: the number of low bits of a value that are coded as they come, and its row in the table.
_scale, _wide = np.divmod(np.arange(SCALES * WIDES), WIDES)
SHIFTS = np.maximum((_scale + SCALE_LOW - COARSE + 7) >> SCALE_BITS, 0)
ROWS = np.where(SHIFTS > 0, _scale - (SHIFTS << SCALE_BITS) + 8, _scale) * WIDES + _wide


def powers(per_octave: int, low: int, high: int) -> np.ndarray:
    """2^(n / per_octave) for n from low to high, float64; square roots are exact on every machine, powers are not."""
    root = 2.0
    for _ in range(per_octave.bit_length() - 1):
        root = math.sqrt(root)
    octave = [1.0]
    for _ in range(per_octave - 1):
        octave.append(octave[-1] * root)
    return np.array([octave[n % per_octave] * 2.0 ** (n // per_octave) for n in range(low, high + 1)])


STEPS = powers(STEPS_PER_OCTAVE, -LAST_STEP, 0)[::-1]  # size of each step
LEVEL_RMS = powers(STEPS_PER_OCTAVE, -UNITY * LEVEL_UNIT, (LEVELS - 1 - UNITY) * LEVEL_UNIT)[::LEVEL_UNIT]
