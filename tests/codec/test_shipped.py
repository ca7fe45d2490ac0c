"""Files written with the shipped models, that of the waveform by version 0.1.0: later versions read the same numbers from them.

A model that replaces a shipped one needs new files here; docs/format.md says which file needs which model.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import telucodec

DATA = Path(__file__).parent / "data"
AUDIO_SHA256 = "badf6d98b00ec5d9dce4f20fc910bf427d00802c8ed206f7f4c40fe9786aaea4"  # float32, little endian
TOKENS_SHA256 = "843f4e0c0be5c38f84fb4cf3dfc6d83916475c39384cc3873d789915e8605086"  # int64, little endian


def sha256(array: np.ndarray, dtype: str) -> str:
    return hashlib.sha256(array.astype(dtype).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def telu():
    return telucodec.load()


def test_a_waveform_file_decodes_to_the_same_bits(telu):
    assert sha256(telu.decode((DATA / "waveform.tlc").read_bytes()), "<f4") == AUDIO_SHA256


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
