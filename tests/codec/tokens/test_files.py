import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telucodec.codec import load
from telucodec.errors import ContainerError


@pytest.fixture(scope="module")
def audio(spoken):
    return spoken(2.6, seed=5)


@pytest.mark.parametrize("target", [{"tokens": 3}, {"tokens": 0, "kbps": 1.1}])
def test_tokens_of_a_file_are_what_it_decodes_from(telu, audio, target):
    data = telu.encode(audio, **target)
    tokens = telu.read_tokens(data)
    assert tokens.dtype == np.int64 and ((tokens < 0).any() == ("kbps" in target))
    assert np.array_equal(telu.detokenize(tokens, len(audio)), telu.decode(data))
    assert telu.write_tokens(tokens, len(audio)) == data


def test_tokens_of_a_model_of_language_become_a_file(telu):
    tokens = np.random.default_rng(0).integers(0, 64, (2, 51))
    data = telu.write_tokens(tokens)
    assert np.array_equal(telu.read_tokens(data), tokens)
    assert np.array_equal(telu.decode(data), telu.detokenize(tokens))
    shorter = telu.decode(telu.write_tokens(tokens, samples=50 * 320 - 10))
    assert np.array_equal(shorter, telu.decode(data)[:-10])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), levels=st.integers(1, 4), frames=st.integers(1, 450))
def test_any_tokens_come_back(telu, data, levels, frames):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    few = data.draw(st.integers(1, 64))  # repeats are written another way
    tokens = random.integers(0, few, (levels, frames))
    used = random.integers(data.draw(st.integers(0, levels)), levels + 1, frames)
    tokens[np.arange(levels)[:, None] >= used] = -1
    assert np.array_equal(telu.read_tokens(telu.write_tokens(tokens)), tokens)


@pytest.mark.parametrize(
    "tokens, samples, said",
    [
        (np.zeros((2, 11), int), 3201, "a recording of 3201 samples has 12 frames, but these tokens have 11"),
        (np.zeros((2, 0), int), None, "a recording of 0 samples has 1 frames, but these tokens have 0"),
        (np.zeros((5, 11), int), None, "1 to 4 codebooks"),
        (np.full((2, 11), 64), None, "between 0 and 63, got 64"),
        (np.zeros((2, 11)), None, "must be integers"),
        (np.zeros((2, 11), int), 1600.0, "samples must be an integer, got 1600.0"),
    ],
)
def test_what_is_no_recording_in_tokens_is_refused(telu, tokens, samples, said):
    with pytest.raises(ValueError, match=said):
        telu.write_tokens(tokens, samples)


def test_a_damaged_packet_leaves_tokens_of_silence(telu, audio):
    data = bytearray(telu.encode(np.tile(audio, 4)[:80_000], tokens=2))
    sound = telu.read_tokens(bytes(data))
    data[-20] ^= 1
    with pytest.raises(ContainerError, match="packet"):
        telu.read_tokens(bytes(data))
    found = telu.read_tokens(bytes(data), lenient=True)
    silence = telu.tokenize(np.zeros(320, np.float32), num_codebooks=2)[:, :1]
    assert np.array_equal(found[:, :200], sound[:, :200]) and (found[:, 200:] == silence).all()


def test_a_waveform_file_has_no_tokens(telu, models, audio):
    data = telu.encode(audio, snr=10)
    for each in (telu, load(models, ["tokens"])):
        with pytest.raises(ContainerError, match="holds a waveform"):
            each.read_tokens(data)
