import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.results import bjontegaard
from pipeline.results.bjontegaard import Curves, rate_change, saving

KBPS = np.array([4.0, 8.0, 16.0, 32.0])
QUALITY = np.array([10.0, 15.0, 21.0, 28.0])


@given(st.floats(0.1, 10))
def test_a_codec_that_takes_a_share_of_the_bits_everywhere_saves_the_rest(share):
    percent, low, high = rate_change((KBPS * share, QUALITY), (KBPS, QUALITY))
    assert percent == pytest.approx(100 * (share - 1), abs=1e-6)
    assert (low, high) == (10, 28)


def test_straight_curves_give_what_can_be_worked_out_by_hand():
    """Six decibels for each doubling, shifted by three: 2^-0.5 of the bits, whatever points were measured."""
    ours = np.array([3.0, 6.0, 24.0]), 6 * np.log2([3.0, 6.0, 24.0]) + 3
    theirs = KBPS, 6 * np.log2(KBPS)
    percent, low, high = rate_change(ours, theirs)
    assert percent == pytest.approx(100 * (2**-0.5 - 1), abs=1e-6)
    assert low == pytest.approx(6 * np.log2(3) + 3) and high == pytest.approx(6 * np.log2(32))


def test_curves_that_do_not_meet_or_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="no quality in common"):
        rate_change((KBPS, QUALITY + 100), (KBPS, QUALITY))
    with pytest.raises(ValueError, match="must rise"):
        rate_change((KBPS, QUALITY[::-1]), (KBPS, QUALITY))


def test_the_interval_holds_the_truth_and_narrows_with_more_clips(monkeypatch):
    monkeypatch.setattr(bjontegaard, "RESAMPLES", 200)
    widths = []
    for clips in (20, 320):
        random = np.random.default_rng(clips)
        hard = random.lognormal(0, 0.3, (clips, 1))  # a clip that takes many bits does so with both
        ours, theirs = (
            Curves(share * KBPS * hard * random.lognormal(0, 0.1, (clips, 1)), np.tile(QUALITY, (clips, 1)))
            for share in (0.5, 1)
        )
        found = saving(ours, theirs)
        assert found.low < -50 < found.high and found.low < found.percent < found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.5 * widths[0]


def test_clips_without_spread_give_an_interval_without_width(monkeypatch):
    monkeypatch.setattr(bjontegaard, "RESAMPLES", 50)
    flat = Curves(np.tile(KBPS, (5, 1)), np.tile(QUALITY, (5, 1)))
    half = Curves(flat.kbps / 2, flat.quality)
    assert saving(half, flat)[:3] == pytest.approx((-50, -50, -50))
