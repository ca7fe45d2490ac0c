import numpy as np
import pytest
import soundfile

from telucodec.audio.mixing import Levels
from telucodec.audio.reading import read, read_with_notes
from telucodec.errors import AudioWarning


def chosen(*channels, blocks=3):
    levels = Levels(len(channels), 16000)
    for block in np.array_split(np.stack(channels, 1).astype(np.float32), blocks):
        levels.add(block)
    return levels.channel()


def test_channels_that_hold_the_speech_are_averaged(spoken):
    voice, other = spoken(1.0), spoken(1.0, 5)
    assert chosen(voice) is None
    assert chosen(voice, voice) is None
    assert chosen(voice, other) is None  # two speakers, one on each channel
    assert chosen(voice, 0.1 * voice) is None
    assert chosen(voice, np.roll(voice, 40)) is None
    assert chosen(*(spoken(1.0, seed) for seed in range(6))) is None
    assert chosen(np.zeros(9), np.zeros(9)) is None


def test_the_strongest_is_taken_where_channels_cancel(spoken):
    voice, noise = spoken(1.0), 0.003 * np.random.default_rng(0).standard_normal(16000)
    assert chosen(voice, -voice) == 0
    assert chosen(0.9 * voice, -voice) == 1
    assert chosen(voice + noise, -1.1 * voice) == 1
    assert chosen(voice + 0.2, -voice + 0.2) is not None  # a DC offset is no speech


@pytest.mark.parametrize("blocks", [1, 3, 300])
@pytest.mark.parametrize("opposite", [(3, 6), (4, 5.1), (0, 1)])
def test_a_channel_is_taken_where_the_mean_would_lose_a_stretch(spoken, blocks, opposite):
    """In phase, but for a part: over the whole recording, the mean keeps half of the energy or more."""
    voice = spoken(6.0)
    other, part = voice.copy(), slice(*(int(16000 * seconds) for seconds in opposite))
    other[part] *= -1
    assert chosen(voice, other, blocks=blocks) == 0
    assert chosen(voice, 1.2 * other, blocks=blocks) == 1
    other[part] *= 0.001
    assert chosen(voice, other, blocks=blocks) is None  # silence cancels nothing


def test_pauses_do_not_count(spoken):
    noise = 1e-4 * np.random.default_rng(0).standard_normal(16000)
    voice = spoken(1.0)
    assert chosen(np.concatenate([voice, noise]), np.concatenate([voice, -noise])) is None


def test_no_speaker_is_lost_for_a_dead_channel_or_a_stretch_that_cancels(spoken):
    one, other, silence = spoken(4.0), spoken(4.0, 5), np.zeros(64000)
    left, right = np.concatenate([one, silence]), np.concatenate([silence, other])
    assert chosen(left, right, np.zeros(128000)) is None
    left[-16000:], right[-16000:] = one[:16000], -one[:16000]
    assert chosen(left, right) is None  # a second is lost, with one channel three


def test_the_strongest_is_taken_where_one_is_dead(spoken):
    voice = spoken(1.0)
    assert chosen(np.zeros(16000), voice) == 1
    assert chosen(voice, 0.0001 * voice) == 0
    assert chosen(np.full(16000, 0.3), voice) == 1


def test_the_reader_says_which_channel_it_took(tmp_path, spoken):
    voice = spoken(1.0)
    soundfile.write(tmp_path / "x.wav", np.stack([voice, -0.9 * voice], 1), 16000)
    with pytest.warns(AudioWarning, match="channel 1 of 2 is taken"):
        audio = read(tmp_path / "x.wav", 16000)
    assert np.abs(audio - 32768 * voice).max() < 2
    soundfile.write(tmp_path / "x.wav", np.stack([voice, 0.5 * voice], 1), 16000)
    sound = read_with_notes(tmp_path / "x.wav", 16000)
    assert not sound.notes and np.abs(sound.samples - 0.75 * 32768 * voice).max() < 2
