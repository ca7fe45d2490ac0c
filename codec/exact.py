"""The grid of exact activations and what follows from it, shared by the networks as they are trained and as they run.

An entropy decoder needs the encoder's probabilities to the last bit. So the networks that give them work on small integers
times a power of two: every product and every partial sum is a float32 without rounding, in any order.
"""

import numpy as np

ACTIVATION_BITS = 5  # an activation is a multiple of 2^-5 ...
ACTIVATION_LIMIT = 127  # ... from -127 to 127 of them

FREQUENCY_BITS = 16  # the greatest frequencies lie between 2^16 and 2^17
_MANTISSA_BITS, _EXPONENT_BIAS = 23, 127  # of float32


def straightened_powers(logarithms: np.ndarray, bits: int) -> np.ndarray:
    """Frequencies [..., size], float32 integers, of logarithms to base 2, int32 in units of 2^-bits, which are overwritten.

    A float32 holds its exponent above its mantissa, so an integer that is read as one is the power of two that
    `telucodec.networks.exact.straightened` means: nothing is computed that machines could round differently.
    """
    largest = logarithms.max(-1, keepdims=True) >> bits << bits
    logarithms -= largest - (FREQUENCY_BITS << bits)
    np.maximum(logarithms, 0, out=logarithms)
    logarithms <<= _MANTISSA_BITS - bits
    logarithms += _EXPONENT_BIAS << _MANTISSA_BITS
    powers = logarithms.view(np.float32)
    return np.rint(powers, out=powers)
