"""Noise that is the same on every machine."""

import numpy as np


def noise(first: int, count: int) -> np.ndarray:
    """Samples [count] of 1 or -1, float64, from number `first` on; numbers count modulo 2^32.

    The sign is the top bit of a hash of the number (the finalizer of MurmurHash3 by Appleby).
    """
    x = np.arange(first, first + count).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return np.where((x ^ (x >> np.uint32(16))) >> np.uint32(31), 1.0, -1.0)
