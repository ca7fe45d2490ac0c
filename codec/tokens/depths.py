"""How many codebooks each frame of a recording uses, when it is their mean that is given."""

import numpy as np

QUIET = 1e-3  # of the mean energy: frames below do not count as any quieter
LEAST = 2 / 3  # of the mean number of codebooks; a frame that has any has that many, since uneven frames sound worse


def depths(errors: np.ndarray, mean: float) -> np.ndarray:
    """The number of codebooks of each frame [frames]: the next ones go where they take away most of what is heard.

    An error counts over the square root of the frame's energy, between that of waveforms and that of loudness. A codebook that
    helps little by itself counts with those after it, by the convex hull of errors over codebooks (Shoham and Gersho,
    "Efficient bit allocation for an arbitrary set of quantizers", IEEE TASSP 36, 1988).

    Args:
        errors: [frames, num_codebooks + 1] squared error with 0, 1, ... codebooks, float32; with 0 it is the frame's energy.
        mean: over the frames; met as nearly as frames allow.
    """
    energy = errors[:, :1]
    number = np.arange(errors.shape[1], dtype=np.float32)
    errors = np.where((number > 0) & (number < round(LEAST * mean)), energy, errors)
    weighted = errors / np.sqrt(energy + np.float32(QUIET) * energy.mean(0, keepdims=True) + np.float32(1e-12))
    apart = number - number[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (weighted[:, :, None] - weighted[:, None, :]) / apart  # [frames, from, to]
    slopes[:, apart <= 0] = -np.inf
    # The best way on from a number of codebooks to this one or a larger one.
    furthest = np.maximum.accumulate(slopes[:, :, ::-1], axis=2)[:, :, ::-1]
    # The gain of each codebook, never more than of those before it.
    gains = np.minimum.accumulate(furthest, axis=1).diagonal(1, 1, 2)
    count = min(max(round(mean * len(errors)), 0), gains.size)
    if count == 0:
        return np.zeros(len(errors), np.int64)
    least = np.sort(gains, axis=None)[-count]
    return ((gains >= least) & (gains > 0)).sum(1)
