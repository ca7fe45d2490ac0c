import numpy as np
import pytest

from telucodec.waveform.bands import Bands, interpolation, members
from telucodec.waveform.grids import BANDS, LEVEL_RMS, LEVEL_UNIT, LEVELS


@pytest.mark.parametrize("bins", [40, 240])
def test_every_bin_has_one_band_and_an_envelope_between_two(bins):
    assert (members(bins).sum(1) == 1).all() and (members(bins).sum(0) > 0).all()
    parts = interpolation(bins)
    assert (parts.sum(0) == 256).all() and ((parts > 0).sum(0) <= 2).all() and (parts >= 0).all()


@pytest.mark.parametrize("bins", [40, 240])
def test_noise_of_a_level_is_measured_as_that_level(bins):
    bands, random = Bands(bins), np.random.default_rng(0)
    for level in (1, 7, LEVELS - 1):
        frames = random.choice([-1.0, 1.0], (10, bins)) * LEVEL_RMS[level]
        assert (bands.measure(frames) == level).all()
    assert (bands.measure(np.zeros((3, bins))) == 0).all() and bands.measure(np.zeros((3, bins))).shape == (2, BANDS)
    assert (bands.measure(np.full((2, bins), 60.0)) == LEVELS - 1).all()


def test_the_envelope_of_equal_levels_is_flat_and_lasts_for_a_group():
    envelope = Bands(240).envelope(np.stack([np.full(BANDS, 3), np.full(BANDS, 9)]), 3)
    assert np.array_equal(envelope, LEVEL_UNIT * np.repeat([[3.0], [3.0], [9.0]], 240, axis=1))
