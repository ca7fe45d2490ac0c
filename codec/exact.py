"""The grid of exact activations, shared by the networks as they are trained and as they run.

An entropy decoder needs the encoder's probabilities to the last bit. So the networks that give them work on small integers
times a power of two: every product and every partial sum is a float32 without rounding, in any order.
"""

ACTIVATION_BITS = 5  # an activation is a multiple of 2^-5 ...
ACTIVATION_LIMIT = 127  # ... from -127 to 127 of them
