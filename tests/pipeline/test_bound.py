import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bound import Source, curves, equal_rate_error, level_for, side_information, tiled

variances = st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=40).map(np.array)


def rate(source, snr):
    return float(source.at(level_for(source, snr))[0].sum())


def snr_of(source, error):
    return 10 * math.log10(source.size * source.variances.sum() / error)


def test_white_noise_takes_a_bit_for_six_decibels():
    source = Source(np.full(50, 0.3), 4)
    for bits in (0.5, 1, 3):
        assert rate(source, 20 * math.log10(2) * bits) == pytest.approx(200 * bits, rel=1e-6)


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_a_first_order_process_takes_what_theory_says(correlation):
    """R(D) = 1/2 log2((1 - correlation^2) / D) of unit variance, as long as D is below the spectrum everywhere."""
    frequency = np.pi * (np.arange(20_000) + 0.5) / 20_000
    spectrum = (1 - correlation**2) / (1 - 2 * correlation * np.cos(frequency) + correlation**2)
    distortion = 0.5 * spectrum.min()
    expected = 0.5 * math.log2((1 - correlation**2) / distortion)
    found = rate(Source(spectrum, 1), -10 * math.log10(distortion)) / len(spectrum)
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_source_of_two_levels_gains_from_a_rate_that_follows_it():
    """Loud and silent frames, 20 dB apart: at a common level all bits go to the loud ones."""
    loud, quiet, size = 1.0, 0.01, 8
    source = Source(np.tile([[loud], [quiet]], (10, 5)), size)
    snr = 10 * math.log10((loud + quiet) / (2 * quiet))  # the water reaches the quiet ones
    assert rate(source, snr) == pytest.approx(10 * 5 * size / 2 * math.log2(loud / quiet), rel=1e-6)
    per_frame = rate(source, snr) / 20
    fixed = snr_of(source, equal_rate_error(source, per_frame))
    # Every frame loses the same part of its energy.
    assert fixed == pytest.approx(20 * math.log10(2) * per_frame / (5 * size), abs=0.01)
    assert fixed < snr - 2


@given(variances)
def test_more_snr_takes_more_bits_at_a_growing_price(values):
    source = Source(values, 3)
    rates = [rate(source, snr) for snr in range(0, 40, 4)]
    distortions = [10 ** (-snr / 10) for snr in range(0, 40, 4)]
    assert (np.diff(rates) >= -1e-6).all()
    slopes = np.diff(rates) / np.diff(distortions)
    assert (np.diff(slopes) <= 1e-6 * np.abs(slopes[1:]) + 1e-6).all()  # convex in the distortion


@given(variances)
def test_equal_rates_are_never_better_than_free_ones(values):
    source = Source(values[:, None], 3)
    for snr in (3, 12, 25):
        bits = rate(source, snr)
        assert snr_of(source, equal_rate_error(source, bits / len(values))) <= snr + 1e-3


def test_side_information_costs_half_a_logarithm_for_each_active_tile():
    assert side_information(Source(np.ones(10), 16), 0.5) == pytest.approx(10 * 2)
    half = Source(np.array([1.0, 0.1] * 5), 16)
    assert side_information(half, 0.5) == pytest.approx(5 * 2 + 10)


def test_tiles_hold_mean_power():
    source = tiled(np.arange(24.0).reshape(3, 8), (2, 4))
    assert source.size == 8
    assert source.variances.tolist() == [[np.mean([0, 1, 2, 3, 8, 9, 10, 11]), np.mean([4, 5, 6, 7, 12, 13, 14, 15])]]


def test_speech_needs_more_with_the_envelope_told_and_most_at_a_fixed_rate(spoken):
    found = curves([spoken(2.0, seed) for seed in range(2)], 16000)
    for told, free in zip(found["charged"], found["variable_rate"], strict=True):
        assert told["snr"] == free["snr"] and (told["kbps"] > free["kbps"] or told["snr"] == 0)
    snr, kbps = ([point[name] for point in found["variable_rate"]] for name in ("snr", "kbps"))
    for point in found["fixed_rate"][2:]:
        assert np.interp(point["snr"], snr, kbps) < point["kbps"]
