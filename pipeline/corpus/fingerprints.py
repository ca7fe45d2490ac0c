"""What identifies a recording after a change of level or format, and after its ends were cut off.

Landmarks, pairs of peaks in the spectrum, propose recordings that may be the same, and where. The spectra themselves decide. A
peak and the distance to the next ones survive lossy codecs and resampling. Source: Wang, "An Industrial-Strength Audio Search
Algorithm", ISMIR 2003.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

# For 16 kHz: windows of 64 ms every 24 ms, 0.2 to 3.6 kHz, which also a telephone passes.
WINDOW, HOP = 1024, 384
HANN = np.hanning(WINDOW).astype(np.float32)
BINS = slice(12, 232)
CACHED_FRAMES = 256  # that stay in the processor's cache
BLOCK_FRAMES = 2500  # that are looked at together, a minute
NOISE = 100.0  # of rounding to 16 bits, in a bin's power

AROUND_FRAMES, AROUND_BANDS = 11, 17  # in which a peak is the largest value
BELOW = np.float32(np.exp(-9))  # of the power of the loud frames; a peak must be louder
NEXT = 4  # peaks that a peak is paired with
LEAST_APART, MOST_APART = 1, 63  # frames between the two of a pair
GRID = 2  # frames between them that count as equal
LOOKS = 1 << 20  # different ones: 7 bits for each of two bands, 6 for what is between them

HEARD = 5.0  # below the loudest value of a spectrum; what is quieter does not count
LARGEST_SHIFT = 2  # frames by which the place of a landmark may be wrong
COMPARED_FRAMES = 208  # on either side of a landmark, 5 s
LEAST_FRAMES = 27
ALIKE = 0.7  # correlation of spectra. Copies have at least 0.8, through Opus at 6 kbit/s 0.7, different speech less than 0.3


class Stretch(NamedTuple):
    """Frames of a recording that are looked at together."""

    recording: int
    first: int  # of its frames
    start: int  # sample where that begins, in the shard
    frames: int


def spectrum(samples: np.ndarray) -> np.ndarray:
    """Int16 [samples] to the logarithm of power [frames, bins], float32."""
    starts = np.arange(0, len(samples) - WINDOW + 1, HOP)
    return np.log(
        np.concatenate([np.zeros((0, BINS.stop - BINS.start), np.float32), *_powers(samples, starts)]) + NOISE
    )


def _powers(samples: np.ndarray, starts: np.ndarray) -> Iterator[np.ndarray]:
    """The power [frames, bins] of windows that begin at `starts`."""
    from scipy import fft  # takes 0.1 s, which a stage that finds nothing need not wait for

    for first in range(0, len(starts), CACHED_FRAMES):
        windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[starts[first : first + CACHED_FRAMES]]
        bins = fft.rfft(windows * HANN, axis=1)[:, BINS]
        yield np.square(bins.real) + np.square(bins.imag)


def landmarks(samples: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """The landmarks of recordings that stand one behind the other, about 47 a second.

    Args:
        samples: of all of them, int16.
        lengths: of each, in samples.

    Returns:
        Numbers of recordings, frames in them, and looks, uint32 [3, landmarks].
    """
    parts = [np.zeros((3, 0), np.uint32)]
    for block in _blocks(lengths):
        parts.append(_landmarks(samples, block))
    return np.concatenate(parts, axis=1)


def _blocks(lengths: Sequence[int]) -> Iterator[list[Stretch]]:
    """Stretches in groups of about `BLOCK_FRAMES`."""
    block: list[Stretch] = []
    start = frames = 0
    for number, length in enumerate(lengths):
        whole = max(0, (length - WINDOW) // HOP + 1)
        for first in range(0, whole, BLOCK_FRAMES):
            block.append(Stretch(number, first, start + first * HOP, min(BLOCK_FRAMES, whole - first)))
            frames += block[-1].frames
            if frames >= BLOCK_FRAMES:
                yield block
                block, frames = [], 0
        start += length
    if block:
        yield block


def _landmarks(samples: np.ndarray, block: list[Stretch]) -> np.ndarray:
    starts = np.concatenate([stretch.start + HOP * np.arange(stretch.frames) for stretch in block])
    bands = np.concatenate([np.maximum(part[:, ::2], part[:, 1::2]) for part in _powers(samples, starts)])
    counts = np.array([stretch.frames for stretch in block])
    owner = np.repeat(np.arange(len(block)), counts)
    frames, peaks = _peaks(bands, counts, owner)
    places, looks = [], []
    for following in range(1, NEXT + 1):
        far = frames[following:] - frames[:-following]
        same = owner[frames[following:]] == owner[frames[:-following]]
        paired = same & (far >= LEAST_APART) & (far <= MOST_APART)
        places.append(frames[:-following][paired])
        looks.append((peaks[:-following] << 13 | peaks[following:] << 6 | far // GRID)[paired])
    place = np.concatenate(places)
    in_order = np.argsort(place, kind="stable")
    place = place[in_order]
    recording, first, _, _ = np.array(block)[owner[place]].T
    within = place - (np.cumsum(counts) - counts)[owner[place]]
    return np.stack([recording, first + within, np.concatenate(looks)[in_order]]).astype(np.uint32)


def _peaks(bands: np.ndarray, counts: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, ...]:
    """Frames and bands of the peaks in the power [frames, bands] of stretches, in the order of frames.

    Args:
        counts: frames of each stretch.
        owner: the stretch of each frame.
    """
    # Nothing between two stretches, so that none has a part in the other's peaks.
    apart, beside = AROUND_FRAMES // 2, AROUND_BANDS // 2
    rows = np.arange(len(bands)) + apart * (owner + 1)
    spaced = np.zeros((rows[-1] + 1 + apart, bands.shape[1] + 2 * beside), np.float32)
    spaced[rows, beside:-beside] = bands
    largest = _largest(_largest(spaced, AROUND_FRAMES).T, AROUND_BANDS).T[rows - apart]
    loudest = np.split(bands.max(axis=1), np.cumsum(counts)[:-1])
    least = [max(np.sort(part)[len(part) * 9 // 10] * BELOW, NOISE * np.e) for part in loudest]
    return np.nonzero((bands == largest) & (bands > np.array(least, np.float32)[owner][:, None]))


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """The largest of `count` rows from each one on."""
    width = 1
    while 2 * width <= count:
        values, width = np.maximum(values[:-width], values[width:]), 2 * width
    return np.maximum(values[: width - count], values[count - width :]) if width < count else values


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
