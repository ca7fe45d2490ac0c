import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from telucodec.audio import spool
from telucodec.audio.reading import read, spooled
from telucodec.audio.spool import Rows, Spool

RATE = 16000


@given(sizes=st.lists(st.integers(0, 50)), limit=st.integers(1, 200), stretch=st.tuples(*[st.integers(-300, 300)] * 2))
def test_a_spool_holds_what_an_array_would(sizes, limit, stretch):
    blocks = [np.random.default_rng(size).integers(-32768, 32768, size).astype(np.int16) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "IN_MEMORY", limit)
        held = Spool()
        for block in blocks:
            held.append(block)
            assert len(held[:1]) == min(len(held), 1)  # and what is read does not disturb what is written next
    array = np.concatenate([np.zeros(0, np.int16), *blocks])
    part = slice(*stretch)
    assert len(held) == len(array) and np.array_equal(held[part], array[part]) and held[part].dtype == np.int16


def test_rows_of_a_frame_are_kept_like_samples(monkeypatch):
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    held, array = Rows(np.float32, 3), np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    for start in (0, 7, 30):
        held.append(array[start : {0: 7, 7: 30}.get(start, 50)])
    assert len(held) == 50 and np.array_equal(held[5:40], array[5:40]) and held[50:].shape == (0, 3)


@pytest.mark.parametrize(
    "target",
    [
        {"snr": 20},
        {"kbps": 24, "perception": 1},
        {"step": 300},
        {"tokens": 2},
        {"tokens": 0, "kbps": 1.5},
    ],
    ids=str,
)
def test_a_recording_in_a_file_is_encoded_as_one_in_memory(telu, tmp_path, spoken, monkeypatch, target):
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    soundfile.write(tmp_path / "talk.wav", spoken(2.6, 5, 22050), 22050)
    whole = telu.encode(read(tmp_path / "talk.wav", RATE), **target)
    assert telu.encode(spooled(tmp_path / "talk.wav", RATE), **target) == whole


def test_silence_in_a_file_is_encoded(telu, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    assert np.abs(telu.decode(telu.encode(spooled(tmp_path / "silence.wav", RATE), snr=30))).max() < 1e-3


def test_a_long_recording_does_not_fill_the_memory(tmp_path, monkeypatch):
    minutes = 20
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(np.zeros(60 * RATE, np.int16))
    monkeypatch.setattr(spool, "IN_MEMORY", 1 << 20)
    peaks = {}
    for way in (spooled, read):
        tracemalloc.start()
        assert len(way(tmp_path / "long.flac", RATE)) == minutes * 60 * RATE
        peaks[way] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[spooled] < 20e6 < 2 * minutes * 60 * RATE < peaks[read]
