import hashlib

import numpy as np

from telucodec.noise import noise


def test_noise_is_the_same_everywhere_and_for_ever():
    found = noise(0, 100_000)
    assert set(np.unique(found)) == {-1.0, 1.0} and abs(found.mean()) < 0.01
    assert np.sort(np.abs(np.correlate(found[:5000], found[:5200], "valid")))[-2] < 300  # but for the same place
    assert hashlib.sha256(np.packbits(found > 0).tobytes()).hexdigest()[:16] == "f88eab1f5705893d"
    assert np.array_equal(noise(1234, 500), found[1234:1734])
    assert np.array_equal(noise(2**32 - 5, 10)[5:], found[:5])
