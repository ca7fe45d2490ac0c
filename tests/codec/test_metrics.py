import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec import metrics


@pytest.fixture(scope="module")
def voice(spoken):
    return spoken(3.0)


def with_noise(voice, decibels, seed=0):
    noise = np.random.default_rng(seed).standard_normal(len(voice)).astype(np.float32)
    noise *= np.linalg.norm(voice) / np.linalg.norm(noise) * 10 ** (-decibels / 20)
    return voice + noise


@given(decibels=st.floats(-20, 60), seed=st.integers(0, 9))
def test_snr_of_known_noise(spoken, decibels, seed):
    voice = spoken(1.0, seed)
    assert metrics.snr(voice, with_noise(voice, decibels, seed)) == pytest.approx(decibels, abs=0.05)


def test_snr_knows_the_gain_and_si_sdr_does_not(voice):
    noisy = with_noise(voice, 10)
    assert metrics.snr(voice, 0.5 * noisy) < metrics.snr(voice, noisy) - 2
    assert metrics.si_sdr(voice, 0.5 * noisy) == pytest.approx(metrics.si_sdr(voice, noisy), abs=0.01)
    assert metrics.si_sdr(voice, noisy) == pytest.approx(10, abs=0.3)


def test_silence_out_is_0_db(voice):
    assert metrics.snr(voice, np.zeros_like(voice)) == pytest.approx(0, abs=1e-4)


def test_segmental_snr_of_stationary_noise(spoken):
    steady = np.sin(np.arange(32000) * 0.3).astype(np.float32)
    assert metrics.segmental_snr(steady, with_noise(steady, 15)) == pytest.approx(15, abs=0.4)
    assert metrics.segmental_snr(steady, steady) == 35
    half_silent = np.r_[steady, np.zeros_like(steady)]
    assert metrics.segmental_snr(half_silent, half_silent * 0.9) == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("name", ["snr", "si_sdr", "segmental_snr", "pesq_wb", "stoi"])
def test_higher_is_better(voice, name):
    function = getattr(metrics, name)
    assert function(voice, with_noise(voice, 30)) > function(voice, with_noise(voice, 5)) > -20


def test_mel_distance_is_zero_for_the_same_and_grows_with_noise(voice):
    distances = [metrics.mel_distance(voice, estimate) for estimate in (voice, with_noise(voice, 30), with_noise(voice, 5))]
    assert distances[0] == 0
    assert distances == sorted(distances) and distances[2] > 0.1


def test_range_ratio(voice):
    assert metrics.range_ratio(voice, 0.7 * voice) == pytest.approx(0.7, rel=1e-5)


def test_what_is_not_defined_is_nan_and_the_rest_is_measured():
    silence, short = np.zeros(16000, np.float32), np.sin(np.arange(1000) * 0.3).astype(np.float32)
    measured = metrics.measure(silence, silence)
    assert all(math.isnan(measured[name]) for name in ("snr", "si_sdr", "segmental_snr", "pesq_wb", "stoi", "range_ratio"))
    measured = metrics.measure(short, 0.9 * short)
    assert math.isnan(measured["pesq_wb"]) and math.isnan(measured["stoi"])
    assert measured["snr"] == pytest.approx(20, abs=0.01)


def test_lengths_must_agree(voice):
    with pytest.raises(ValueError, match=r"48000.*47999"):
        metrics.measure(voice, voice[:-1])


def test_a_broken_estimate_is_refused(voice):
    with pytest.raises(ValueError, match="not finite|NaN"):
        metrics.measure(voice, np.full_like(voice, np.nan))
