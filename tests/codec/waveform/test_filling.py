import numpy as np
import pytest

from telucodec.mdct import on_grid
from telucodec.waveform.bands import Bands
from telucodec.waveform.filling import amplitudes
from telucodec.waveform.grids import BANDS, LEVEL_RMS

BINS = 240


@pytest.fixture(scope="module")
def bands():
    return Bands(BINS)


def noise(bands, coefficients, level, likely=0.3, step=1.0):
    shape = coefficients.shape
    levels = np.full((-(-shape[0] // 2), BANDS), level)
    return amplitudes(coefficients, np.full(shape, likely), np.full(shape, step), levels, bands)


def test_empty_bands_get_their_level(bands):
    energy = np.square(noise(bands, np.zeros((3, BINS)), 12)) @ bands.members / bands.sizes
    assert np.allclose(np.sqrt(energy), LEVEL_RMS[12], rtol=1e-9)


def test_what_was_coded_counts(bands):
    coded = np.zeros((1, BINS))
    coded[0, ::4] = LEVEL_RMS[12] * 1.5  # more than half of each band's energy
    coded = on_grid(coded)
    amplitude = noise(bands, coded, 12)
    assert np.array_equal(amplitude > 0, coded == 0)
    assert np.allclose(np.square(coded + amplitude) @ bands.members / bands.sizes, LEVEL_RMS[12] ** 2, rtol=0.1)
    assert not noise(bands, on_grid(2 * coded), 12).any()


def test_noise_is_strong_where_zeros_are_likely_to_be_large(bands):
    likely = np.where(np.arange(BINS) % 2, 0.1, 0.3)[None]
    amplitude = amplitudes(np.zeros((1, BINS)), likely, np.ones((1, BINS)), np.full((1, BANDS), 12), bands)
    assert np.allclose(amplitude[:, ::2] / amplitude[:, 1::2], 3, rtol=0.15)  # bands differ a little


def test_noise_stays_within_half_a_step_and_out_of_silence(bands):
    assert noise(bands, np.zeros((2, BINS)), 20, step=0.25).max() == 0.125
    assert not noise(bands, np.zeros((2, BINS)), 0).any()
    assert not noise(bands, np.zeros((2, BINS)), 12, likely=0.0).any()
