import numpy as np
import pytest

from telucodec.vocoder.frames import HOP, STEP
from telucodec.vocoder.pitch import Track
from telucodec.vocoder.source import PulseTrain, cycles


def track(hz, onset=()):
    hz = np.asarray(hz, float)
    starts = np.isin(np.arange(len(hz)), onset)
    before = np.where(starts, hz, np.concatenate([hz[:1], hz[:-1]]))
    return Track(before, hz, np.ones(len(hz), bool), starts)


@pytest.mark.parametrize("hz", [70.0, 123.4, 300.0])
def test_pulses_come_at_the_pitch_with_the_power_of_noise(hz):
    pulses = PulseTrain().push(track([hz] * 50), np.zeros(50))
    assert np.square(pulses).mean() == pytest.approx(7800 / 8000, abs=0.05)
    peaks = np.flatnonzero(pulses > 0.7 * pulses.max())
    distances = np.diff(peaks)
    assert np.median(distances[distances > 5]) == pytest.approx(16000 / hz, abs=1)


def test_pulses_go_on_where_they_stopped():
    random = np.random.default_rng(0)
    course, turns = track(random.uniform(80, 400, 30), onset=[4, 17]), random.uniform(-0.5, 0.5, 30)
    whole, train = PulseTrain().push(course, turns), PulseTrain()
    cuts = [1, 4, 5, 16, 20]
    rows = zip(*(np.split(part, cuts) for part in course), strict=True)
    pieces = [train.push(Track(*row), part) for row, part in zip(rows, np.split(turns, cuts), strict=True)]
    assert np.allclose(np.concatenate(pieces), whole, atol=1e-9)


def test_what_came_before_an_onset_does_not_matter_after_it():
    one, other = (PulseTrain().push(track([hz, hz, 200, 210, 220], onset=[2]), np.zeros(5)) for hz in (100.0, 317.0))
    assert np.allclose(one[2 * HOP :], other[2 * HOP :], atol=1e-9)
    assert not np.allclose(one[: 2 * HOP], other[: 2 * HOP])


def test_a_turn_is_complete_in_the_middle_of_its_frame():
    still, turned = (PulseTrain().push(track([200.0] * 4), np.array([0, turn, 0, 0])) for turn in (0, 0.25))
    assert np.array_equal(still[:HOP], turned[:HOP])
    quarter = 20  # samples of 80
    assert np.allclose(turned[HOP + STEP : -quarter], still[HOP + STEP + quarter :], atol=1e-9)


def test_cycles_are_those_of_a_linear_change():
    pitch = 100 + (180 - 100) * np.arange(1, HOP + 1) / HOP
    assert np.allclose(cycles(100, 180, np.arange(1, HOP + 1)), np.cumsum(pitch) / 16000)
