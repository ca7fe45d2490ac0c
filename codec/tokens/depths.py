"""How many codebooks each frame of a recording uses, when it is their mean that is given."""

import numpy as np

QUIET = 1e-3  # of the mean energy: frames below do not count as any quieter
LEAST = 2 / 3  # of the mean number of codebooks; a frame that has any has that many, since uneven frames sound worse
BLOCK = 1 << 13  # frames that are looked at together: a table of slopes for hours of speech would fill the memory


def depths(errors: np.ndarray, mean: float) -> np.ndarray:
    """The number of codebooks of each frame [frames]: the next ones go where they take away most of what is heard.

    An error counts over the square root of the frame's energy, between that of waveforms and that of loudness. A codebook that
    helps little by itself counts with those after it, by the convex hull of errors over codebooks (Shoham and Gersho,
    "Efficient bit allocation for an arbitrary set of quantizers", IEEE TASSP 36, 1988).

    Args:
        errors: [frames, num_codebooks + 1] squared error with 0, 1, ... codebooks, float32; with 0 it is the frame's energy.
        mean: over the frames; met as nearly as frames allow.
    """
    heard = np.sqrt(errors[:, :1] + np.float32(QUIET) * errors[:, :1].mean(0, keepdims=True) + np.float32(1e-12))
    gains = np.empty((len(errors), errors.shape[1] - 1), np.float32)
    for start in range(0, len(errors), BLOCK):
        part = slice(start, start + BLOCK)
        gains[part] = _gains(errors[part], heard[part], round(LEAST * mean))
    count = min(max(round(mean * len(errors)), 0), gains.size)
    if count == 0:
        return np.zeros(len(errors), np.int64)
    least = np.sort(gains, axis=None)[-count]
    return ((gains >= least) & (gains > 0)).sum(1)


def _gains(errors: np.ndarray, heard: np.ndarray, least: int) -> np.ndarray:
    """The gain of each codebook [frames, num_codebooks], never more than of those before it.

    Args:
        heard: [frames, 1] what an error is divided by.
        least: number of codebooks of a frame that has any.
    """
    number = np.arange(errors.shape[1], dtype=np.float32)
    weighted = np.where((number > 0) & (number < least), errors[:, :1], errors) / heard
    apart = number - number[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (weighted[:, :, None] - weighted[:, None, :]) / apart  # [frames, from, to]
    slopes[:, apart <= 0] = -np.inf
    # The best way on from a number of codebooks to this one or a larger one.
    furthest = np.maximum.accumulate(slopes[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.minimum.accumulate(furthest, axis=1).diagonal(1, 1, 2)
