import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telucodec.audio import metrics


@pytest.fixture(scope="module")
def voice(spoken):
    return spoken(3.0)


def with_noise(voice, decibels, seed=0):
    noise = np.random.default_rng(seed).standard_normal(len(voice)).astype(np.float32)
    noise *= np.linalg.norm(voice) / np.linalg.norm(noise) * 10 ** (-decibels / 20)
    return voice + noise


@settings(deadline=None, max_examples=40)
@given(decibels=st.floats(-20, 60), seed=st.integers(0, 9))
def test_snr_of_known_noise(spoken, decibels, seed):
    voice = spoken(1.0, seed)
    assert metrics.snr(voice, with_noise(voice, decibels, seed)) == pytest.approx(decibels, abs=0.05)


@settings(deadline=None, max_examples=40)
@given(decibels=st.floats(0, 45), gain_db=st.floats(-50, 20))
def test_a_quiet_clip_has_the_snr_of_a_loud_one(voice, decibels, gain_db):
    gain = np.float32(10 ** (gain_db / 20))
    noisy = with_noise(voice, decibels)
    assert metrics.snr(gain * voice, gain * noisy) == pytest.approx(metrics.snr(voice, noisy), abs=0.01)
    assert metrics.si_sdr(gain * voice, gain * noisy) == pytest.approx(metrics.si_sdr(voice, noisy), abs=0.01)


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
    assert metrics.segmental_snr(steady, 20 * steady) == -10
    half_silent = np.r_[steady, np.zeros_like(steady)]
    assert metrics.segmental_snr(half_silent, half_silent * 0.9) == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("name", ["snr", "si_sdr", "segmental_snr", "pesq_wb", "stoi"])
def test_higher_is_better(voice, name):
    function = getattr(metrics, name)
    assert function(voice, with_noise(voice, 30)) > function(voice, with_noise(voice, 5)) > -20


def test_mel_distance_is_zero_for_the_same_and_grows_with_noise(voice):
    distances = [
        metrics.mel_distance(voice, estimate) for estimate in (voice, with_noise(voice, 30), with_noise(voice, 5))
    ]
    assert distances[0] == 0
    assert distances == sorted(distances) and distances[2] > 0.1


def test_range_ratio(voice):
    assert metrics.range_ratio(voice, 0.7 * voice) == pytest.approx(0.7, rel=1e-5)


def test_what_is_not_defined_is_nan_and_the_rest_is_measured():
    silence, short = np.zeros(16000, np.float32), np.sin(np.arange(1000) * 0.3).astype(np.float32)
    measured = metrics.measure(silence, silence)
    assert all(
        math.isnan(measured[name]) for name in ("snr", "si_sdr", "segmental_snr", "pesq_wb", "stoi", "range_ratio")
    )
    measured = metrics.measure(short, 0.9 * short)
    assert math.isnan(measured["pesq_wb"]) and math.isnan(measured["stoi"])
    assert measured["snr"] == pytest.approx(20, abs=0.01)


def test_a_dead_estimate_gets_no_good_mark(voice):
    measured = metrics.measure(voice, np.zeros_like(voice))
    assert math.isnan(measured["si_sdr"]) and math.isnan(measured["pesq_wb"])
    assert measured["snr"] == pytest.approx(0, abs=1e-6) and abs(measured["stoi"]) < 0.01
    hiss = np.random.default_rng(0).standard_normal(len(voice)).astype(np.float32)
    measured = metrics.measure(voice, 1e-5 * hiss)
    assert measured["pesq_wb"] < 1.2 and measured["si_sdr"] < -30


def test_pesq_of_a_recording_with_more_utterances_than_the_package_has_room_for():
    random = np.random.default_rng(0)
    burst = np.r_[0.3 * random.standard_normal(4000), np.zeros(4000)].astype(np.float32)
    reference = np.tile(burst, 70)  # 35 s
    estimate = reference + 0.001 * random.standard_normal(len(reference)).astype(np.float32)
    halves = [metrics.pesq_wb(*pair) for pair in zip(np.split(reference, 2), np.split(estimate, 2), strict=True)]
    assert metrics.pesq_wb(reference, estimate) == pytest.approx(np.mean(halves))


def test_lengths_must_agree(voice):
    with pytest.raises(ValueError, match=r"48000.*47999"):
        metrics.measure(voice, voice[:-1])


def test_a_broken_estimate_is_refused(voice):
    with pytest.raises(ValueError, match="NaN or infinite"):
        metrics.measure(voice, np.full_like(voice, np.nan))
    with pytest.raises(ValueError, match="reference"):
        metrics.measure(np.full_like(voice, np.inf), voice)
