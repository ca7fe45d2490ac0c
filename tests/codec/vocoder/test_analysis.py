import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telucodec.vocoder.analysis import FEATURES, SpeechAnalysis, silence
from telucodec.vocoder.codes import PHASE_PLACE, VocoderCodes
from telucodec.vocoder.filters import KNOTS
from telucodec.vocoder.frames import HOP

CODES = VocoderCodes(np.random.default_rng(0).normal(0, 0.5, (32, len(KNOTS))), 12, 1024)


@pytest.fixture(scope="module")
def speech(spoken):
    return spoken(2, seed=3)[: 99 * HOP].astype(np.float64)


def analysis():
    return SpeechAnalysis(CODES.pitch, CODES.phase)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 98), max_size=8))
def test_frames_do_not_depend_on_how_the_speech_is_cut(speech, cuts):
    codes, levels = analysis().push(speech)
    item = analysis()
    pieces = [item.push(part) for part in np.split(speech, [cut * HOP for cut in sorted(cuts)])]
    assert np.array_equal(np.concatenate([piece[0] for piece in pieces], axis=1), codes)
    assert np.array_equal(np.concatenate([piece[1] for piece in pieces]), levels)


def test_a_frame_needs_nothing_after_it(speech):
    changed = speech.copy()
    changed[50 * HOP :] = 0
    for one, other in zip(analysis().push(speech), analysis().push(changed), strict=True):
        kept = (slice(None), slice(50)) if one.ndim == 2 and len(one) == 2 else slice(50)
        assert np.array_equal(one[kept], other[kept])


def test_a_louder_copy_has_higher_levels_and_the_same_codes(speech):
    codes, levels = analysis().push(speech)
    louder, higher = analysis().push(2 * speech)
    assert (codes[0] != louder[0]).mean() < 0.05
    loud = (levels > -5) & (codes[0] == louder[0])[:, None]
    assert (
        np.quantile(np.abs((higher - levels)[loud] - np.log(2)), 0.95) < 0.02
    )  # some windows follow another pitch before


def test_silence_has_the_levels_of_silence():
    codes, levels = analysis().push(np.zeros(5 * HOP))
    assert np.allclose(levels, silence()) and levels.shape == (5, FEATURES) and (codes == 0).all()


def test_places_follow_the_number_of_codebooks():
    shapes = np.zeros((8, len(KNOTS)))
    assert VocoderCodes(shapes, PHASE_PLACE, 64).places == (0,)
    codes = VocoderCodes(shapes, PHASE_PLACE + 1, 64)
    assert codes.places == (0, PHASE_PLACE) and codes.descriptions.shape == (2, 64, codes.described)
    some = np.arange(2 * 5).reshape(5, 2)
    assert codes.own(some).tolist() == [[0, 1], [8, 9]]
    assert codes.own(some[:3]).tolist() == [[0, 1], [-1, -1]]
