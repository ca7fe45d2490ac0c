"""What identifies a recording after a change of level or format, and after its ends were cut off.

Landmarks, pairs of peaks in the spectrum, propose recordings that may be the same, and where. The spectra themselves decide. A
peak and the distance to the next ones survive lossy codecs and resampling. Source: Wang, "An Industrial-Strength Audio Search
Algorithm", ISMIR 2003.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d

# For 16 kHz: windows of 64 ms every 16 ms, 0.2 to 3.6 kHz, which also a telephone passes.
WINDOW, HOP = 1024, 256
BINS = slice(13, 232)
BLOCK_FRAMES = 3750  # that are looked at together, a minute
NOISE = 100.0  # of rounding to 16 bits, in a bin's power

AROUND_FRAMES, AROUND_BINS = 17, 33  # in which a peak is the largest value
BELOW = 9.0  # the loud frames; a peak must be louder. As all levels here, the natural logarithm of power
NEXT = 3  # peaks that a peak is paired with
LEAST_APART, MOST_APART = 2, 96  # frames between the two of a pair
GRID = 2  # frames and bins that count as equal

HEARD = 5.0  # below the loudest value of a spectrum; what is quieter does not count
LARGEST_SHIFT = 3  # frames by which the place of a landmark may be wrong
COMPARED_FRAMES = 310  # on either side of a landmark, 5 s
LEAST_FRAMES = 40
ALIKE = 0.75  # correlation of spectra. Copies, even through GSM, have at least 0.9, different speech less than 0.3


def spectrum(samples: np.ndarray) -> np.ndarray:
    """Int16 [samples] to the logarithm of power [frames, bins], float32."""
    if len(samples) < WINDOW:
        return np.zeros((0, BINS.stop - BINS.start), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    parts = []
    for start in range(0, len(windows), 256):  # that stay in the processor's cache
        bins = np.fft.rfft(windows[start : start + 256] * _hann, axis=1)[:, BINS]
        parts.append(np.log(np.square(bins.real) + np.square(bins.imag) + NOISE).astype(np.float32))
    return np.concatenate(parts)


_hann = np.hanning(WINDOW).astype(np.float32)


def landmarks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Int16 [samples] to the frames of landmarks and what they look like, uint32 [landmarks] each; about 26 a second."""
    found = [(np.zeros(0, np.uint32), np.zeros(0, np.uint32))]
    for start in range(0, len(samples), BLOCK_FRAMES * HOP):
        frames, looks = _landmarks(spectrum(samples[start : start + BLOCK_FRAMES * HOP]))
        found.append(((frames + start // HOP).astype(np.uint32), looks.astype(np.uint32)))
    frames, looks = map(np.concatenate, zip(*found, strict=True))
    return frames, looks


def _landmarks(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(levels):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    largest = maximum_filter1d(maximum_filter1d(levels, AROUND_FRAMES, axis=0), AROUND_BINS, axis=1)
    least = np.percentile(levels.max(axis=1), 90) - BELOW
    frames, bins = np.nonzero((levels == largest) & (levels > max(least, np.log(NOISE) + 1)))
    places, looks = [], []
    for following in range(1, NEXT + 1):
        apart = frames[following:] - frames[:-following]
        paired = (apart >= LEAST_APART) & (apart <= MOST_APART)
        first, second = bins[:-following] // GRID, bins[following:] // GRID
        places.append(frames[:-following][paired])
        looks.append((first << 13 | second << 6 | apart // GRID)[paired])
    return np.concatenate(places), np.concatenate(looks)


def alike(one: np.ndarray, other: np.ndarray, frame: int, offset: int) -> bool:
    """Whether int16 [samples] of two recordings sound the same where they overlap, around a landmark that they share.

    Args:
        frame: of the landmark in `one`.
        offset: frames by which it is later in `other`.
    """
    start, stop = max(frame - COMPARED_FRAMES, 0, -offset), frame + COMPARED_FRAMES
    levels = _part(one, start, stop)
    first = max(start + offset - LARGEST_SHIFT, 0)
    others = _part(other, first, stop + offset + LARGEST_SHIFT)
    for shift in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1):
        place = start + offset + shift - first
        if _correlation(levels[max(-place, 0) :], others[max(place, 0) :]) > ALIKE:
            return True
    return False


def _part(samples: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The spectrum from one frame to another, or to the end."""
    return spectrum(samples[start * HOP : (stop - 1) * HOP + WINDOW])


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two spectra, each bin without its mean, so that filters and levels do not count."""
    length = min(len(one), len(other))
    if length < LEAST_FRAMES:
        return 0.0
    heard = [np.maximum(part[:length], part[:length].max() - HEARD) for part in (one, other)]
    first, second = (part - part.mean(axis=0) for part in heard)
    scale = np.sqrt(np.square(first).sum() * np.square(second).sum())
    return float((first * second).sum() / scale) if scale > 0 else 0.0
