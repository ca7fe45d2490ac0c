import numpy as np
import pytest

from telucodec.vocoder.frames import HOP, STEP, WINDOW, windows
from telucodec.vocoder.pitch import DESCRIPTION, PERIODICITIES, PitchCodes, PitchCourse, PitchTracker, spectra

CODES = PitchCodes(1024)


def segments(audio):
    return windows(np.concatenate([np.zeros(WINDOW - HOP), audio]), 0, HOP)


def tracked(audio):
    return PitchTracker(CODES).push(spectra(segments(audio)))


def voice(frequency):
    """Of a pitch [samples] in Hz, with harmonics up to 3.5 kHz that fall by 6 dB an octave."""
    phase = 2 * np.pi * np.cumsum(frequency) / 16000
    return 0.1 * sum(np.cos(k * phase + k) / k * (k * frequency < 3500) for k in range(1, 60))


@pytest.mark.parametrize("hz", [75, 110, 163, 220, 317, 440])
def test_the_pitch_of_a_steady_voice_is_found(hz):
    codes = tracked(voice(np.full(16000, float(hz))))[3:]
    assert np.abs(CODES.frequencies[codes] / hz - 1).max() < 0.012
    assert (codes % len(PERIODICITIES) >= 2).all()


def test_a_glide_is_followed():
    hz = np.linspace(120, 260, 16000)
    codes = tracked(voice(hz))[3:]
    middle = (np.arange(3, 3 + len(codes)) * HOP).clip(max=15999)
    assert np.median(np.abs(CODES.frequencies[codes] / hz[middle] - 1)) < 0.02


def test_noise_and_silence_have_no_pitch_and_keep_the_last_one():
    steady = voice(np.full(8000, 200.0))
    for rest in (np.zeros(16000), 0.1 * np.random.default_rng(0).standard_normal(16000)):
        codes = tracked(np.concatenate([steady, rest]))[28:]
        assert (codes % len(PERIODICITIES) == 0).mean() > 0.9
    silent = tracked(np.concatenate([steady, np.zeros(16000)]))[28:]
    assert len(set(silent)) == 1


def test_a_pitch_does_not_depend_on_the_level():
    audio = voice(np.full(16000, 150.0))
    assert np.array_equal(tracked(audio), tracked(0.3 * audio))


@pytest.mark.parametrize("size", [8, 64, 1000, 1024])
def test_every_code_has_a_pitch_and_a_description(size):
    codes = PitchCodes(size)
    assert codes.frequencies.shape == (size,) and codes.descriptions.shape == (size, DESCRIPTION)
    assert np.allclose(codes.descriptions.sum(1), 2)
    assert codes.frequencies.min() == pytest.approx(60) and codes.frequencies.max() == pytest.approx(500)


def test_a_course_starts_anew_where_speech_becomes_voiced():
    low, high = 4 * 50, 4 * 150  # without a pitch; with 3 added, periodic
    track = PitchCourse(CODES).push(np.array([low + 3, low + 3, low, high + 3, -1, high + 3]))
    assert track.voiced.tolist() == [True, True, False, True, False, True]
    assert track.onset.tolist() == [True, False, False, True, False, True]
    assert track.before[3] == track.after[3] == CODES.frequencies[high]
    assert track.after[4] == CODES.frequencies[high]  # a frame without code keeps the pitch


def test_a_course_goes_on_where_it_stopped():
    pitch = np.random.default_rng(0).integers(-1, 1024, 40)
    whole, course = PitchCourse(CODES).push(pitch), PitchCourse(CODES)
    pieces = [course.push(part) for part in np.split(pitch, [1, 7, 8, 30])]
    for number, part in enumerate(whole):
        assert np.array_equal(np.concatenate([piece[number] for piece in pieces]), part)


def test_windows_of_frames_overlap():
    line = np.arange(3 * HOP + STEP + WINDOW)
    found = windows(line, STEP, HOP)
    assert found[0, 0] == STEP and found[1, 0] == STEP + HOP and found.shape == (4, WINDOW)
