"""Levels in octave bands: what is taken from a band, or added, shows there and nowhere else."""

import numpy as np
import pytest

from pipeline import judges
from pipeline.judges.levels import EDGES, level_errors

TOP = EDGES[-2]


def low_passed(audio: np.ndarray, corner: float) -> np.ndarray:
    spectrum = np.fft.rfft(audio)
    spectrum[np.fft.rfftfreq(len(audio), 1 / 16000) > corner] = 0
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


def test_speech_without_treble_lacks_the_top_band_only(spoken):
    audio = spoken(2.0)
    verdict = judges.judge(["levels"], audio, low_passed(audio, TOP))
    assert verdict[f"level_bias_{TOP}"] < -10
    for edge in EDGES[:-2]:
        assert verdict[f"level_bias_{edge}"] == pytest.approx(0, abs=0.2)


def test_a_gain_is_the_bias_of_every_band_and_has_no_spread(spoken):
    audio = spoken(2.0)
    errors = level_errors(audio, audio * 10 ** (-6 / 20))
    assert errors.mean(axis=1) == pytest.approx(-6, abs=0.1)
    assert errors.std(axis=1).max() < 0.1


def test_only_frames_near_the_loudest_count(spoken):
    loud = spoken(1.0)
    quiet = 0.01 * loud  # 40 dB below
    decoded = np.concatenate([loud, 3 * quiet])
    assert np.abs(level_errors(np.concatenate([loud, quiet]), decoded)).max() < 1.5  # but where windows see both


def test_a_band_that_is_empty_on_both_sides_has_no_error(spoken):
    narrow = low_passed(spoken(1.0), TOP - 500)
    assert np.abs(level_errors(narrow, 0.999 * narrow)[-1]).max() < 0.1
    quieter = level_errors(spoken(1.0), 1e-5 * spoken(1.0))
    assert np.isfinite(quieter).all() and quieter.min() > -100
