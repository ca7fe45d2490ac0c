import numpy as np
import pytest

from telucodec.vocoder.envelope import BAND, FLOOR, POINTS, between, centres, envelope
from telucodec.vocoder.frames import WINDOW


def test_white_noise_has_the_level_of_its_variance():
    noise = 0.1 * np.random.default_rng(0).standard_normal((400, WINDOW))
    power = np.exp(2 * envelope(noise, np.full(400, 250.0)))[:, centres(POINTS) > 300].mean(0)
    assert np.allclose(10 * np.log10(power), -20, atol=0.6)  # below, what lies under the pitch is filled


@pytest.mark.parametrize("hz", [100.0, 150.0, 230.0])
def test_harmonics_leave_no_trace_and_pulses_may_lie_anywhere(hz):
    starts = np.arange(40)[:, None]
    phase = 2 * np.pi * hz * (np.arange(WINDOW) + starts) / 16000
    pulses = sum(np.cos(k * phase) for k in range(1, int(7800 // hz) + 1)) * np.sqrt(4 * hz / 16000)
    levels = envelope(pulses, np.full(40, hz))[:, centres(POINTS) > 2 * hz][:, :-1] * 8.686
    assert np.abs(levels).max() < 1.5 and levels.std(0).max() < 0.5  # dB


def test_silence_has_the_floor():
    assert np.allclose(envelope(np.zeros((1, WINDOW)), np.array([250.0])), 0.5 * np.log(FLOOR))


def test_points_are_evenly_spaced_in_mel_over_the_band():
    points = centres(POINTS)
    assert (points[0], points[-1]) == pytest.approx(BAND)
    assert (np.diff(np.diff(points)) > 0).all()


def test_weights_between_points_sum_to_one_and_reproduce_the_points():
    weights = between(np.linspace(0, 8000, 300), centres(POINTS))
    assert weights.shape == (POINTS, 300) and np.allclose(weights.sum(0), 1)
    assert np.allclose(between(centres(POINTS), centres(POINTS)), np.eye(POINTS), atol=1e-9)
    assert between(np.ones((5, 7)), centres(POINTS)).shape == (POINTS, 5, 7)
