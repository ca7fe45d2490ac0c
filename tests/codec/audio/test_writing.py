import warnings

import numpy as np
import pytest
import soundfile

from telucodec.audio.writing import write_wav
from telucodec.errors import AudioError, AudioWarning

RATE = 16000


@pytest.fixture(autouse=True)
def unexpected_warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_every_16_bit_value_is_written_as_it_is(tmp_path):
    values = np.arange(-32768, 32768).astype(np.int16)
    write_wav(tmp_path / "int.wav", [values[:1000], values[1000:]], RATE)
    write_wav(tmp_path / "float.wav", [values / 32768], RATE)
    for name in ("int.wav", "float.wav"):
        assert np.array_equal(soundfile.read(tmp_path / name, dtype="int16")[0], values)
    write_wav(tmp_path / "floating.wav", [values], RATE, floating=True)
    assert np.array_equal(soundfile.read(tmp_path / "floating.wav", dtype="float32")[0] * 32768, values)


def test_samples_beyond_full_scale_are_counted_or_kept(tmp_path):
    blocks = [np.array([0.5, 1.5, -1.25], np.float32), np.array([-0.5, 1.0, 2.0], np.float32)]
    with pytest.warns(
        AudioWarning, match=r"^3 of 6 samples lie beyond full scale, up to 2.00, and are clipped.*--float"
    ):
        write_wav(tmp_path / "clipped.wav", blocks, RATE)
    assert np.allclose(soundfile.read(tmp_path / "clipped.wav")[0], [0.5, 1, -1, -0.5, 1, 1], atol=1e-4)
    write_wav(tmp_path / "kept.wav", blocks, RATE, floating=True)
    assert np.array_equal(soundfile.read(tmp_path / "kept.wav", dtype="float32")[0], np.concatenate(blocks))


@pytest.mark.parametrize(
    "block, said",
    [
        (np.array([1, 2]), "float or int16, got int64"),
        (np.array([0.0, np.nan]), "finite"),
        (np.array([np.inf]), "finite"),
    ],
)
def test_what_are_no_samples_is_refused_and_nothing_is_left(tmp_path, block, said):
    with pytest.raises(AudioError, match=f"bad.wav: .*{said}"):
        write_wav(tmp_path / "bad.wav", [np.zeros(10, np.float32), block], RATE)
    assert list(tmp_path.iterdir()) == []
