import numpy as np
import pytest

from telucodec.tokens.vocoder import SpeechSynthesis
from telucodec.vocoder.analysis import SpeechAnalysis
from telucodec.vocoder.codes import VocoderCodes
from telucodec.vocoder.filters import KNOTS, OUTPUTS
from telucodec.vocoder.frames import HOP
from telucodec.vocoder.phase import PhaseCodes, fitted, turns_of

SHAPES = np.zeros((32, len(KNOTS)))


@pytest.fixture(scope="module")
def speech(spoken):
    return [spoken(4, seed)[: 199 * HOP].astype(np.float64) for seed in range(4)]


@pytest.fixture(scope="module")
def shapes(speech):
    codes = VocoderCodes(SHAPES, 12, 1024)
    measured = [SpeechAnalysis(codes.pitch, codes.phase).measure(audio) for audio in speech[1:]]
    return fitted([(each.harmonics, each.track) for each in measured], 1024)


def ratio(audio, shapes, phase=True):
    """SNR in dB, without quantisation of the spectrum."""
    codes = VocoderCodes(shapes, 12, 1024)
    own, levels = SpeechAnalysis(codes.pitch, codes.phase).push(np.pad(audio, (0, HOP)))
    if not phase:
        own[1] = -1
    output = SpeechSynthesis(codes).push(own, levels, np.zeros((len(levels), OUTPUTS), np.float32))[HOP:]
    return 10 * np.log10(np.square(audio).sum() / np.square(audio - output).sum())


def test_with_the_phase_the_waveform_follows(speech, shapes):
    without, turned, shaped = ratio(speech[0], SHAPES, phase=False), ratio(speech[0], SHAPES), ratio(speech[0], shapes)
    assert without < 0 < turned < shaped - 0.5


def test_shapes_are_found_for_every_size_of_codebook(speech):
    codes = VocoderCodes(np.zeros((4, len(KNOTS))), 6, 32)
    measured = SpeechAnalysis(codes.pitch, codes.phase).measure(speech[0])
    for size in (32, 64):
        found = fitted([(measured.harmonics, measured.track)], size)
        assert found.shape == (size // turns_of(size), len(KNOTS)) and np.isfinite(found).all()


@pytest.mark.parametrize("size", [8, 64, 1000, 1024])
def test_the_first_turn_is_none_and_turns_are_even(size):
    count = turns_of(size)
    codes = PhaseCodes(np.zeros((size // count, len(KNOTS))), size)
    assert codes.turns.shape == (size,) and codes.angles.shape == (size, len(KNOTS))
    assert codes.distinct[0] == 0 and np.allclose(
        np.sort(codes.distinct), np.arange(count) / count - count // 2 / count
    )


def test_without_a_pitch_the_code_is_the_first(shapes):
    codes = VocoderCodes(shapes, 12, 1024)
    noise = 0.1 * np.random.default_rng(0).standard_normal(100 * HOP)
    pitch, phase = SpeechAnalysis(codes.pitch, codes.phase).push(noise)[0]
    assert (phase[pitch % 4 == 0] == 0).all() and (pitch % 4 == 0).mean() > 0.8
