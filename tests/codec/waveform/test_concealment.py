import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telucodec.mdct import ExactMDCT
from telucodec.waveform.concealment import FADE, Synthesis

HOP = 240


def frames_of(audio):
    transform = ExactMDCT(HOP)
    return transform.analyse(transform.silence(), np.pad(audio, (0, -len(audio) % HOP + HOP)))[0]


def heard(frames, lost):
    """Audio in hops [frames, HOP]; the first one lies before the recording."""
    synthesis = Synthesis(HOP)
    parts = [
        synthesis.conceal(1) if number in lost else synthesis.push(frames[number : number + 1])
        for number in range(len(frames))
    ]
    return np.stack(parts)


@pytest.fixture(scope="module")
def frames(spoken):
    return frames_of(spoken(1.2, seed=3))


def decibels(signal, error):
    return 10 * np.log10(np.square(signal).sum() / np.square(error).sum())


def test_without_loss_it_is_the_transform(frames):
    transform = ExactMDCT(HOP)
    expected, _ = transform.synthesise(transform.silence(), frames)
    assert np.array_equal(heard(frames, ()).reshape(-1), expected)
    assert np.array_equal(Synthesis(HOP).push(frames), expected)


@pytest.mark.parametrize("pitch", [65.0, 110.0, 173.0, 320.0, 441.0])
def test_a_voice_goes_on_in_phase(pitch):
    time = np.arange(12 * HOP) / 16_000
    voice = sum(0.1 / number * np.cos(2 * np.pi * pitch * number * time + number**2) for number in range(1, 9))
    whole = heard(frames_of(voice), ())
    lossy = heard(frames_of(voice), (6,))
    assert decibels(whole[6:8], whole[6:8] - lossy[6:8]) > 12
    assert (
        decibels(whole[6:8], whole[6:8] - heard(np.where(np.arange(13)[:, None] == 6, 0, frames_of(voice)), ())[6:8])
        < 5
    )


@settings(max_examples=40)
@given(first=st.integers(0, 80), count=st.integers(1, 14))
def test_a_loss_anywhere_leaves_the_rest_and_no_click(frames, first, count):
    whole, lossy = heard(frames, ()), heard(frames, range(first, first + count))
    end = min(first + count + 1, len(frames))  # the first frame after the loss shares its hop with the last lost one
    assert np.array_equal(lossy[:first], whole[:first]) and np.array_equal(lossy[end:], whole[end:])
    before = max(first - 3, 0)
    around = np.concatenate([whole[before:end].reshape(-1), whole[end : end + 1].reshape(-1)])
    jumps = np.abs(np.diff(lossy.reshape(-1)))[before * HOP : end * HOP]
    assert jumps.max() <= 2 * np.abs(np.diff(around)).max() + 0.01
    assert np.square(lossy[first:end]).mean(1).max() <= 4 * np.square(whole[before:end]).mean(1).max() + 1e-9


@pytest.mark.parametrize("first", [20, 33, 47, 60])
def test_speech_fades_to_silence(frames, first):
    lossy = heard(frames, range(first, len(frames)))
    energy = np.square(lossy).sum(1)
    assert energy[first] > 0 and not lossy[first + FADE + 1 :].any()
    assert energy[first + FADE] < 0.05 * energy[first - 2 : first + 2].max()


@pytest.mark.parametrize("kind", ["voice", "noise"])
def test_what_is_steady_fades_steadily(kind):
    time = np.arange(20 * HOP)
    voice = 0.1 * np.sign(np.sin(time / 20))
    frames = frames_of(voice if kind == "voice" else 0.1 * np.random.default_rng(0).standard_normal(len(time)))
    level = np.sqrt(np.square(heard(frames, range(10, 20))).mean(1))[10:20]
    expected = 0.1 * np.array([1, *(1 - np.arange(0.5, FADE) / FADE), 0])  # in the middle of a hop
    assert (level < expected + 0.02).all() and (level[:3] > 0.6 * expected[:3]).all() and not level[9]


def test_before_the_first_frame_and_without_any_there_is_silence(frames):
    assert not heard(frames, range(len(frames))).any()
    assert not heard(frames, range(3))[:3].any()


def test_frames_lost_together_are_those_lost_one_by_one(frames):
    together, single = Synthesis(HOP), Synthesis(HOP)
    together.push(frames[:30])
    single.push(frames[:30])
    assert np.array_equal(together.conceal(11), np.concatenate([single.conceal(count) for count in (1, 2, 3, 5)]))
    assert np.array_equal(together.push(frames[41:]), single.push(frames[41:]))
