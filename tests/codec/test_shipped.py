"""Files written with the shipped models: later versions read the same numbers from them.

A model that replaces a shipped one needs new files here; docs/format.md says which file needs which model.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import telucodec

DATA = Path(__file__).parent / "data"
AUDIO_SHA256 = "d432017d6e77eae843f224b65883cd9389ad1f7842971fe77237738fd73afccd"  # float32, little endian
SHAPED_SHA256 = "a8c933eba401fc1871dee7f6b49c6bef0367094f1f254c3972e4be1c9c4b6677"  # without the enhancer
TOKENS_SHA256 = "2f168a11f000d1c2d8be970f9cbce92167c9e478550398b1b0254fb7d37afd40"  # int64, little endian


def sha256(array: np.ndarray, dtype: str) -> str:
    return hashlib.sha256(array.astype(dtype).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def telu():
    return telucodec.load()


def test_a_waveform_file_decodes_to_the_same_bits(telu):
    assert sha256(telu.decode((DATA / "waveform.tlc").read_bytes()), "<f4") == AUDIO_SHA256
    shaped = (DATA / "shaped.tlc").read_bytes()
    assert sha256(telu.decode(shaped, enhance=False), "<f4") == SHAPED_SHA256


def test_bands_keep_their_level_with_perception(telu, spoken):
    """Without noise in empty bands, or with it in the wrong place, the treble would be far below that of the speech."""
    audio = spoken(2.6, seed=5)
    output = telu.decode(telu.encode(audio, kbps=8, perception=1))
    level = 10 * np.log10([[np.square(part).sum() for part in octaves(signal)] for signal in (audio, output)])
    assert np.abs(level[1] - level[0]).max() < 3


def octaves(audio: np.ndarray) -> list[np.ndarray]:
    """Spectra of 500 to 1000, to 2000, to 4000 and to 8000 Hz."""
    spectrum = np.abs(np.fft.rfft(audio))
    return np.split(spectrum, [round(hz * len(audio) / 16_000) for hz in (500, 1000, 2000, 4000)])[1:]


def test_a_file_of_tokens_has_the_same_tokens(telu, spoken):
    data = (DATA / "tokens.tlc").read_bytes()
    tokens = telu.read_tokens(data)
    assert tokens.shape == (8, 131) and sha256(tokens, "<i8") == TOKENS_SHA256
    assert telu.write_tokens(tokens, samples=41_600) == data
    # The encoder computes in floating point: another processor may choose another token here and there.
    assert (telu.tokenize(spoken(2.6, seed=5), num_codebooks=8) != tokens).any(0).mean() < 0.02


def test_silence_of_the_shipped_models_is_cheap_and_silent(telu):
    silence = np.zeros(32_000, np.float32)
    for point in ({"tokens": 8}, {"snr": 20}):
        data = telu.encode(silence, **point)
        assert len(data) < 120 and np.abs(telu.decode(data)).max() < 1e-3
