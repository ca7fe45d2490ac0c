import numpy as np
import pytest
import soundfile

from telucodec.audio.mixing import Levels
from telucodec.audio.reading import read, read_with_notes
from telucodec.errors import AudioWarning


def chosen(*channels):
    levels = Levels(len(channels))
    for block in np.array_split(np.stack(channels, 1).astype(np.float32), 3):
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
