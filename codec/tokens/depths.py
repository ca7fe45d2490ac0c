"""How many codebooks each frame of a recording uses, when it is their mean that is given."""

from collections.abc import Iterator

import numpy as np

from telucodec.audio.spool import Rows

LEAST = 2 / 3  # of the mean number of codebooks; a frame that has any has that many, since uneven frames sound worse
BLOCK = 1 << 13  # frames that are looked at together: a table of slopes for hours of speech would fill the memory


def depths(errors: np.ndarray | Rows, mean: float) -> np.ndarray:
    """The number of codebooks of each frame [frames]: the next ones go where they take away most of the error.

    A frame's error counts by its distance from silence. A codebook that helps little by itself counts with those after it, by the
    convex hull of errors over codebooks (Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE
    TASSP 36, 1988).

    Args:
        errors: [frames, num_codebooks + 1] squared error with 0, 1, ... codebooks, float32; with 0 it is that of silence.
        mean: over the frames; met as nearly as frames allow.
    """
    num_codebooks = errors[:1].shape[1] - 1
    gains = Rows(np.float32, num_codebooks)
    for part in _parts(errors):
        gains.append(_gains(part, round(LEAST * mean)))
    count = min(max(round(mean * len(errors)), 0), len(errors) * num_codebooks)
    if count == 0:
        return np.zeros(len(errors), np.int8)
    least = _among_largest(gains, count)
    return np.concatenate([((part >= least) & (part > 0)).sum(1, dtype=np.int8) for part in _parts(gains)])


def _parts(rows: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """All rows, of which there is one at least, block by block."""
    yield from (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


def _among_largest(gains: Rows, count: int) -> np.float32:
    """The least of the `count` largest gains above zero; zero if there are not as many.

    It is found by counting: the bits of positive floating-point numbers, read as integers, have the same order. First all are
    counted by their upper 16 bits, then those that share the upper bits wanted by the lower ones.
    """
    found = 0
    for shift in (16, 0):
        counts = np.zeros(1 << 16, np.int64)
        for part in _parts(gains):
            bits = part[part > 0].view(np.uint32)
            if shift == 0:
                bits = bits[bits >> 16 == found >> 16]
            counts += np.bincount(bits >> shift & 0xFFFF, minlength=1 << 16)
        above = np.cumsum(counts[::-1])  # how many are at least as large, from the largest down
        if above[-1] < count:
            return np.float32(0)
        place = int(np.searchsorted(above, count))
        found |= (0xFFFF - place) << shift
        count -= int(above[place - 1]) if place else 0
    return np.uint32(found).view(np.float32)


def _gains(errors: np.ndarray, least: int) -> np.ndarray:
    """The gain of each codebook [frames, num_codebooks], never more than of those before it.

    Args:
        least: number of codebooks of a frame that has any.
    """
    number = np.arange(errors.shape[1], dtype=np.float32)
    errors = np.where((number > 0) & (number < least), errors[:, :1], errors) * np.sqrt(errors[:, :1])
    apart = number - number[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (errors[:, :, None] - errors[:, None, :]) / apart  # [frames, from, to]
    slopes[:, apart <= 0] = -np.inf
    # The best way on from a number of codebooks to this one or a larger one.
    furthest = np.maximum.accumulate(slopes[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.minimum.accumulate(furthest, axis=1).diagonal(1, 1, 2)
